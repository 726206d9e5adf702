"""Events taken in batches leave the rows that they leave one by one, whatever they are; and hold up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sql
from dialer.intake import Intake
from dialer.rules.model import CarrierEvent, Fact
from tests.support.runs import Worker, add_business, add_run, assert_counters_match
from tests.support.waiting import eventually

ATTEMPTS = 4
WORDS = ("queued", "initiated", "ringing", "in-progress", "completed", "busy", "no-answer", "failed", "odd")

# Two of one attempt are never in one batch.
# Of which attempt, its first or its second call, by whom, with which number, what, and who answered.
told = st.tuples(
    st.integers(0, ATTEMPTS),
    st.sampled_from("aaaaab"),
    st.sampled_from(("answer", "callback", "callback", "callback", "fetch")),
    st.one_of(st.none(), st.integers(0, 4)),
    st.sampled_from(WORDS),
    st.sampled_from((None, None, None, "human", "machine_start")),
)


async def twin(db: Any) -> tuple[list[int], list[UUID]]:
    """Two runs of two businesses, four attempts on their way; and the id of one that nobody knows."""
    runs = [(await add_run(db, await add_business(db, limit=ATTEMPTS), ATTEMPTS // 2)).run_id for _ in range(2)]
    await db.execute("DELETE FROM dialer_daemons")  # a share of the runs would be theirs
    worker = await Worker.join(db)
    await worker.claim()
    written = [row for run in runs for row in await worker.intend(run, [1, 2])]
    return runs, [*(row["attempt_id"] for row in written), uuid4()]


def events_of(tellings: Sequence[tuple[Any, ...]], attempts: Sequence[UUID]) -> list[CarrierEvent]:
    return [
        CarrierEvent(
            *(attempts[which], f"CA{attempts[which].hex}{call}", source, sequence, word),
            *(None, 7 if word == "completed" else None, answered_by, 486 if word == "busy" else None, None),
        )
        for which, call, source, sequence, word, answered_by in tellings
    ]


async def rows_of(db: Any, runs: list[int], attempts: list[UUID]) -> list[Any]:
    """What is comparable: names by position, and of times whether they are there."""

    def seen(row: Any) -> dict[str, Any]:
        return {
            column: _plain(value, attempts)
            for column, value in row.items()
            if column not in ("id", "run_id", "job_id", "business_id", "dial_lock_token", "lease_epoch", "phone")
        }

    found: list[Any] = []
    for attempt in attempts[:-1]:
        row = await db.fetchrow("SELECT * FROM outbound_call_attempts WHERE id = $1", attempt)
        job = await db.fetchrow("SELECT * FROM outbound_call_jobs WHERE id = $1", row["job_id"])
        heard = await db.fetch(
            "SELECT * FROM outbound_call_events WHERE attempt_id = $1 ORDER BY call_sid, sequence, status", attempt
        )
        found.append([seen(row), seen(job), [seen({**h, "attempt_id": None}) for h in heard]])
    for run in runs:
        found.append(await db.fetchval("SELECT status FROM outbound_call_runs WHERE id = $1", run))
        await assert_counters_match(db, run)
    found.append(await db.fetchval("SELECT count(*) FROM orphan_callbacks WHERE attempt_id = $1", attempts[-1]))
    return found


def _plain(value: Any, attempts: list[UUID]) -> Any:
    if isinstance(value, str) and value.startswith("CA"):
        return f"{attempts.index(UUID(value[2:34]))}{value[34:]}"
    return value if value is None or isinstance(value, int | str | bool) else True


async def one_by_one(db: Any, events: Sequence[CarrierEvent]) -> list[Fact]:
    return [Fact(**await db.fetchrow(sql.query("take_carrier_event"), *event)) for event in events]


def intake_of(db: Any, *, asked: list[str] | None = None) -> Intake:
    async def rows(name: str, *arguments: Any) -> Any:
        if asked is not None:
            asked.append(name)
        return await db.fetch(sql.query(name), *arguments)

    return Intake(rows, take_apart_on=(asyncpg.PostgresError,))


def outcome(fact: Fact) -> tuple[Any, ...]:
    return (fact.result, fact.slot, fact.state, fact.disposition, fact.ended_now, fact.hangup_requested)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(told, min_size=3, unique_by=lambda t: t[0]), min_size=1, max_size=6))
def test_batches_leave_what_single_events_leave(database: str, batches: list[list[tuple[Any, ...]]]) -> None:
    async def check() -> None:
        pool = await asyncpg.create_pool(database, min_size=4, max_size=4)
        try:
            runs, attempts = await twin(pool)
            other_runs, other_attempts = await twin(pool)
            intake = intake_of(pool)
            for batch in batches:
                apart = await one_by_one(pool, events_of(batch, attempts))
                together = await asyncio.gather(*map(intake.take, events_of(batch, other_attempts)))
                assert [outcome(f) for f in together] == [outcome(f) for f in apart]
            assert await rows_of(pool, other_runs, other_attempts) == await rows_of(pool, runs, attempts)
        finally:
            await pool.close()

    asyncio.run(check())


async def test_what_comes_during_one_takes_one_statement(pool: Any) -> None:
    runs, attempts = await twin(pool)
    asked: list[str] = []
    intake = intake_of(pool, asked=asked)
    for word in ("ringing", "in-progress", "completed"):
        await asyncio.gather(
            *map(intake.take, events_of([(n, "a", "callback", None, word, None) for n in range(4)], attempts))
        )
    assert asked == ["take_carrier_event", "take_plain_events"] * 3, "the first waits for nobody"
    statuses = await pool.fetch("SELECT status FROM outbound_call_runs WHERE id = ANY ($1::bigint[])", runs)
    assert [row["status"] for row in statuses] == ["completed"] * 2


async def test_one_that_comes_alone_is_not_kept_waiting(pool: Any) -> None:
    _, attempts = await twin(pool)
    asked: list[str] = []
    [event] = events_of([(0, "a", "callback", 1, "ringing", None)], attempts)
    assert (await intake_of(pool, asked=asked).take(event)).state == "live"
    assert asked == ["take_carrier_event"]


async def test_an_event_that_cannot_be_stored_fails_alone(pool: Any) -> None:
    _, attempts = await twin(pool)
    events = events_of([(n, "a", "callback", 1, "ringing", None) for n in range(4)], attempts)
    events[2] = events[2]._replace(source="nobody")
    answers = await asyncio.gather(*map(intake_of(pool).take, events), return_exceptions=True)
    assert isinstance(answers[2], asyncpg.CheckViolationError)
    assert [a.state for a in answers if isinstance(a, Fact)] == ["live"] * 3


async def test_a_row_that_somebody_holds_holds_up_only_its_own_event(pool: Any) -> None:
    _, attempts = await twin(pool)
    events = events_of([(n, "a", "callback", 1, "ringing", None) for n in range(4)], attempts)
    intake = intake_of(pool)
    async with pool.acquire() as operator, operator.transaction():
        await operator.execute("SELECT FROM outbound_call_attempts WHERE id = $1 FOR UPDATE", attempts[1])
        taken = [asyncio.ensure_future(intake.take(event)) for event in events]
        others = [taken[0], *taken[2:]]
        assert [fact.state for fact in await asyncio.wait_for(asyncio.gather(*others), 5)] == ["live"] * 3
        # Nor does it hold up what comes later.
        [later] = events_of([(0, "a", "callback", 3, "completed", None)], attempts)
        assert (await asyncio.wait_for(intake.take(later), 5)).ended_now
        assert not taken[1].done()
    assert (await taken[1]).state == "live"


async def test_two_batches_over_the_same_runs_never_wait_in_a_ring(pool: Any) -> None:
    """Of many runs, in opposite orders, at the same time: every one goes through as a batch."""
    _, first = await twin(pool)
    _, second = await twin(pool)
    attempts = [*first[:-1], *second[:-1]]
    asked: list[str] = []
    for sequence in range(15):
        word = "ringing" if sequence < 14 else "completed"
        events = [CarrierEvent(a, f"CA{a.hex}a", "callback", sequence, word, duration_seconds=1) for a in attempts]
        intakes = [intake_of(pool, asked=asked), intake_of(pool, asked=asked)]
        ways = (events, list(reversed(events)))
        facts = await asyncio.gather(
            *(asyncio.gather(*map(i.take, way)) for i, way in zip(intakes, ways, strict=True))
        )
        assert all(fact.state == ("live" if sequence < 14 else "ended") for way in facts for fact in way)
    assert asked.count("take_plain_events") == 30


@pytest.mark.parametrize("named_by", ["one batch", "two batches"])
async def test_a_sid_that_two_attempts_are_told_of_has_one_owner(pool: Any, named_by: str) -> None:
    _, attempts = await twin(pool)
    intake = intake_of(pool)
    other = intake if named_by == "one batch" else intake_of(pool)
    pairs = [CarrierEvent(a, f"CA{n // 2}", "callback", 0, "initiated") for n, a in enumerate(attempts[:-1])]
    tellers = (intake, other, intake, other)
    facts = await asyncio.gather(*(i.take(e) for i, e in zip(tellers, pairs, strict=True)))
    assert sorted(fact.result for fact in facts) == ["not_owner", "not_owner", "taken", "taken"]
    owners = await pool.fetch("SELECT call_sid FROM outbound_call_attempts WHERE call_sid IS NOT NULL")
    assert sorted(row["call_sid"] for row in owners) == ["CA0", "CA1"]


async def test_a_stop_during_a_batch_is_counted_once(pool: Any) -> None:
    """The counters of a run that is being ended by a batch, and by its operator, at the same time."""
    runs, attempts = await twin(pool)
    events = events_of([(n, "a", "callback", 3, "busy", None) for n in range(4)], attempts)
    intake = intake_of(pool)
    await asyncio.gather(
        *map(intake.take, events),
        pool.execute(
            "UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1 AND ended_at IS NULL", runs[0]
        ),
    )
    await eventually(partial(_has_ended, pool, runs))
    for run in runs:
        await assert_counters_match(pool, run)


async def _has_ended(pool: Any, runs: list[int]) -> bool:
    left = await pool.fetchval(
        "SELECT count(*) FROM outbound_call_runs WHERE id = ANY ($1::bigint[]) AND ended_at IS NULL", runs
    )
    return bool(left == 0)
