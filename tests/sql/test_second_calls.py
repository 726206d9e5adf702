"""A second call for one attempt is the carrier's fault; what is said of it, however often, moves nothing."""

from __future__ import annotations

from typing import Any

import pytest

import sql
from tests.sql.test_facts import dial
from tests.support.runs import assert_counters_match, event


async def attempt_row(pool: Any, attempt: Any) -> tuple[Any, ...]:
    row = await pool.fetchrow(
        """SELECT a.state, a.disposition, a.call_sid, a.carrier_rank, a.answered_at, a.answered_by,
                  j.status, j.disposition, r.status
           FROM outbound_call_attempts a
           JOIN outbound_call_jobs j ON j.id = a.job_id JOIN outbound_call_runs r ON r.id = a.run_id
           WHERE a.id = $1""",
        attempt,
    )
    return tuple(row)


@pytest.mark.parametrize("status", ["completed", "in-progress", "busy"])
async def test_the_second_calls_news_told_twice_leaves_the_first_call_its_slot(pool: Any, status: str) -> None:
    run, _, [intent] = await dial(pool)
    attempt = intent["attempt_id"]
    await event(pool, attempt, "queued", sid="CA1", source="answer")
    await event(pool, attempt, "ringing", sid="CA1", sequence=1)
    before = await attempt_row(pool, attempt)
    first = await event(pool, attempt, status, sid="CA2", sequence=3)
    again = await event(pool, attempt, status, sid="CA2", sequence=3)
    assert (first["result"], again["result"]) == ("late_call", "repeat")
    assert not first["ended_now"]
    assert not again["ended_now"], "the slot was freed while its call lives"
    assert await attempt_row(pool, attempt) == before
    await assert_counters_match(pool, run.run_id)


async def test_who_answered_the_second_call_says_nothing_of_the_first(pool: Any) -> None:
    run, _, [intent] = await dial(pool)
    attempt = intent["attempt_id"]
    await event(pool, attempt, "completed", sid="CA1", sequence=3)
    before = await attempt_row(pool, attempt)
    for _ in range(2):
        await pool.execute(
            sql.query("take_carrier_event"),
            *(attempt, "CA2", "callback", None, "amd:machine_start", None, None, "machine_start", None, None),
        )
    assert await attempt_row(pool, attempt) == before
    await assert_counters_match(pool, run.run_id)
