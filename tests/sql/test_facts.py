"""What the carrier says of a call, in any order and number: the rows end the same."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sql
from tests.support.runs import Worker, add_business, add_run, assert_counters_match, counters, event
from tests.support.waiting import eventually

FOUR = [("initiated", 0), ("ringing", 1), ("in-progress", 2), ("completed", 3)]


async def dial(pool: Any, jobs: int = 1, phones: list[str] | None = None) -> tuple[Any, Any, list[Any]]:
    run = await add_run(pool, await add_business(pool, limit=10), phones or jobs)
    worker = await Worker.join(pool)
    await worker.claim()
    return run, worker, await worker.intend(run.run_id, list(range(1, len(run.jobs) + 1)))


async def final_rows(pool: Any, attempt: Any) -> tuple[Any, ...]:
    a = await pool.fetchrow("SELECT * FROM outbound_call_attempts WHERE id = $1", attempt)
    j = await pool.fetchrow("SELECT * FROM outbound_call_jobs WHERE id = $1", a["job_id"])
    r = await pool.fetchrow("SELECT status FROM outbound_call_runs WHERE id = $1", a["run_id"])
    events = await pool.fetch(
        "SELECT sequence, status FROM outbound_call_events WHERE attempt_id = $1 ORDER BY 1, 2", attempt
    )
    return (
        *(a[k] for k in ("state", "disposition", "call_sid", "carrier_rank", "late_call_sid")),
        *(j[k] for k in ("status", "disposition", "twilio_call_sid", "duration_seconds")),
        r["status"],
        [tuple(e) for e in events],
    )


async def test_every_order_and_repetition_of_callbacks_gives_the_same_rows(pool: Any) -> None:
    outcomes = []
    for order in itertools.permutations(FOUR):
        run, _, [intent] = await dial(pool)
        ended = 0
        for status, sequence in [*order, *order]:
            sid = f"CA{intent['job_id']}"
            row = await event(pool, intent["attempt_id"], status, sid=sid, sequence=sequence, duration=7)
            ended += row["ended_now"]
        assert ended == 1, "a slot is freed once"
        rows = await final_rows(pool, intent["attempt_id"])
        outcomes.append((rows[0:2], rows[3:7], rows[8:]))
        await assert_counters_match(pool, run.run_id)
    assert len({str(o) for o in outcomes}) == 1
    assert outcomes[0][0] == ("ended", "answered")


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    ending=st.sampled_from(["completed", "busy", "no-answer", "failed", "canceled"]),
    order=st.permutations(["answer", "initiated", "ringing", "in-progress", "END", "END", "fetch", "ringing"]),
)
def test_answer_callbacks_and_look_ups_commute(database: str, ending: str, order: list[str]) -> None:
    async def check() -> None:
        db = await asyncpg.connect(database)
        try:
            run, _, [intent] = await dial(db)
            sid, numbers = f"CA{intent['job_id']}", {"initiated": 0, "ringing": 1, "in-progress": 2, "END": 3}
            for what in order:
                if what == "answer":
                    await event(db, intent["attempt_id"], "queued", sid=sid, source="answer")
                elif what == "fetch":
                    await event(db, intent["attempt_id"], ending, sid=sid, source="fetch")
                else:
                    status = ending if what == "END" else what
                    await event(db, intent["attempt_id"], status, sid=sid, sequence=numbers[what])
            job = await db.fetchrow("SELECT * FROM outbound_call_jobs WHERE id = $1", intent["job_id"])
            expected = {"completed": "answered", "no-answer": "no_answer"}.get(ending, ending)
            assert (job["disposition"], job["twilio_call_sid"]) == (expected, sid)
            assert job["status"] == ("completed" if ending == "completed" else "failed")
            assert (
                await db.fetchval("SELECT status FROM outbound_call_runs WHERE id = $1", run.run_id) == "completed"
            )
            await assert_counters_match(db, run.run_id)
        finally:
            await db.close()

    asyncio.run(check())


async def test_a_callback_before_the_creates_answer_binds_the_call(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    row = await event(pool, intent["attempt_id"], "ringing", sid="CA7", sequence=1)
    assert (row["result"], row["state"], row["call_sid"]) == ("taken", "live", "CA7")
    row = await event(pool, intent["attempt_id"], "queued", sid="CA7", source="answer")
    assert row["state"] == "live"


async def test_an_unknown_attempt_is_bound_by_its_callback(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    assert await pool.fetch(sql.query("doubt_attempt"), intent["attempt_id"], 500, "HTTP 500")
    row = await event(pool, intent["attempt_id"], "in-progress", sid="CA7", sequence=2)
    assert (row["state"], row["call_sid"]) == ("live", "CA7")
    assert await pool.fetch(sql.query("doubt_attempt"), intent["attempt_id"], 500, "late") == []


async def test_a_callback_for_nobody_is_kept_aside_once(pool: Any) -> None:
    for _ in range(2):
        assert (await event(pool, uuid4(), "ringing", sequence=1))["result"] == "orphan"
    assert await pool.fetchval("SELECT count(*) FROM orphan_callbacks") == 1


async def test_a_word_the_carrier_never_used_before_is_recorded_and_moves_nothing(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    row = await event(pool, intent["attempt_id"], "teleported", sid="CA7", sequence=9)
    assert (row["result"], row["state"]) == ("taken", "requested")


async def test_not_processed_goes_back_and_costs_nothing(pool: Any) -> None:
    run, worker, [intent] = await dial(pool)
    assert await pool.fetchval(sql.query("return_attempt"), intent["attempt_id"], 0.0, 20429, "busy") == "returned"
    job = await pool.fetchrow("SELECT * FROM outbound_call_jobs")
    assert (job["status"], job["attempts_made"]) == ("queued", 0)
    assert await pool.fetchval(sql.query("return_attempt"), intent["attempt_id"], 0.0, 20429, "busy") == "returned"
    assert await pool.fetchval("SELECT attempts_made FROM outbound_call_jobs") == 0
    await assert_counters_match(pool, run.run_id)
    assert (await worker.intend(run.run_id, [1]))[0]["verdict"] == "intent"


async def test_not_processed_with_a_delay_waits(pool: Any) -> None:
    run, worker, [intent] = await dial(pool)
    await pool.fetchval(sql.query("return_attempt"), intent["attempt_id"], 60.0, 20429, "busy")
    [row] = await worker.intend(run.run_id, [1])
    assert (row["verdict"], row["queued_left"]) == ("no_job", 1)


async def test_a_429_that_answers_after_a_stop_ends_the_job_not_dialed(pool: Any) -> None:
    run, _, [intent] = await dial(pool)
    await pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", run.run_id)
    assert await pool.fetchval(sql.query("return_attempt"), intent["attempt_id"], 0.0, 20429, "busy") == "swept"
    job = await pool.fetchrow("SELECT * FROM outbound_call_jobs")
    assert (job["status"], job["disposition"]) == ("cancelled", "not_dialed")
    await assert_counters_match(pool, run.run_id)


async def test_a_call_that_turns_up_is_never_returned_to_the_queue(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    await event(pool, intent["attempt_id"], "ringing", sid="CA7", sequence=1)
    assert await pool.fetchval(sql.query("return_attempt"), intent["attempt_id"], 0.0, None, "late") == "too_late"


async def test_refused_ends_the_job_with_its_code(pool: Any) -> None:
    run, _, [intent] = await dial(pool)
    assert await pool.fetchval(sql.query("refuse_attempt"), intent["attempt_id"], "invalid_number", 21211, "no")
    assert not await pool.fetchval(sql.query("refuse_attempt"), intent["attempt_id"], "failed", 21210, "no")
    job = await pool.fetchrow("SELECT * FROM outbound_call_jobs")
    assert (job["status"], job["disposition"], job["error_code"]) == ("failed", "invalid_number", 21211)
    assert await pool.fetchval("SELECT status FROM outbound_call_runs WHERE id = $1", run.run_id) == "completed"


async def test_two_last_callbacks_that_commit_together_complete_the_run(pool: Any) -> None:
    run, _, intents = await dial(pool, 2)
    async with pool.acquire() as first, pool.acquire() as second:
        transactions = [c.transaction() for c in (first, second)]
        for t in transactions:
            await t.start()
        await event(first, intents[0]["attempt_id"], "completed", sid="CA1", sequence=3)
        other = asyncio.create_task(event(second, intents[1]["attempt_id"], "busy", sid="CA2", sequence=3))
        await transactions[0].commit()
        await asyncio.wait_for(other, 5)
        await transactions[1].commit()
    row = await pool.fetchrow("SELECT status, ended_at FROM outbound_call_runs WHERE id = $1", run.run_id)
    assert row["status"] == "completed"
    assert row["ended_at"] is not None
    await assert_counters_match(pool, run.run_id)


async def test_a_late_call_of_an_attempt_that_ended_unknown_is_stored_beside_it(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    await pool.fetch(sql.query("doubt_attempt"), intent["attempt_id"], None, "cut off")
    news = await pool.fetchval("SELECT last_news_at FROM outbound_call_attempts")
    assert await pool.fetchval(sql.query("end_unknown"), intent["attempt_id"], news) == 1
    assert await pool.fetchval(sql.query("end_unknown"), intent["attempt_id"], news) is None
    row = await event(pool, intent["attempt_id"], "in-progress", sid="CA9", sequence=2)
    assert (row["result"], row["state"], row["disposition"]) == ("late_call", "ended", "unknown")
    assert await pool.fetchval("SELECT late_call_sid FROM outbound_call_attempts") == "CA9"
    assert (await counters(pool, row["run_id"]))["unknown"] == 1


async def test_a_signed_callback_overrides_a_guess_and_the_robbed_attempt_is_unknown_again(pool: Any) -> None:
    """Two attempts to one number are unknown; the list's call was given to the wrong one."""
    run, _, [one, two] = await dial(pool, phones=["+12125550101", "+12125550101"])
    for intent in (one, two):
        await pool.fetch(sql.query("doubt_attempt"), intent["attempt_id"], None, "cut off")
    assert (await event(pool, one["attempt_id"], "ringing", sid="CA2", source="list"))["result"] == "taken"
    assert (await event(pool, two["attempt_id"], "ringing", sid="CA2", source="list"))["result"] == "not_owner"
    row = await event(pool, two["attempt_id"], "ringing", sid="CA2", sequence=1)
    assert (row["result"], row["call_sid"]) == ("taken", "CA2")
    robbed = await pool.fetchrow("SELECT * FROM outbound_call_attempts WHERE id = $1", one["attempt_id"])
    assert (robbed["state"], robbed["call_sid"]) == ("unknown", None)
    row = await event(pool, one["attempt_id"], "busy", sid="CA1", sequence=2)
    assert (row["result"], row["ended_now"]) == ("taken", True)
    await event(pool, two["attempt_id"], "completed", sid="CA2", sequence=3)
    sids = await pool.fetch("SELECT twilio_call_sid FROM outbound_call_jobs ORDER BY position")
    assert [r[0] for r in sids] == ["CA1", "CA2"]
    await assert_counters_match(pool, run.run_id)


async def test_the_database_refuses_to_move_an_ended_attempt(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    await event(pool, intent["attempt_id"], "busy", sequence=2)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE outbound_call_attempts SET state = 'live', ended_at = NULL, disposition = NULL")


async def test_news_that_comes_while_a_look_up_is_under_way_wins(pool: Any) -> None:
    """The list search began before the callback bound the call, and came back empty after it."""
    _, _, [intent] = await dial(pool)
    await pool.fetch(sql.query("doubt_attempt"), intent["attempt_id"], None, "cut off")
    [taken] = await pool.fetch(sql.query("take_unknown_attempts"), 0.0, 10, 0.0, 60.0)
    await event(pool, intent["attempt_id"], "in-progress", sid="CALIVE", sequence=2)
    assert await pool.fetchval(sql.query("end_unknown"), intent["attempt_id"], taken["last_news_at"]) is None
    row = await pool.fetchrow("SELECT state, ended_at FROM outbound_call_attempts")
    assert (row["state"], row["ended_at"]) == ("live", None)


async def test_a_robbed_attempt_that_proves_unsent_returns_its_job(pool: Any) -> None:
    run, _, [one, two] = await dial(pool, phones=["+12125550101", "+12125550101"])
    for intent in (one, two):
        await pool.fetch(sql.query("doubt_attempt"), intent["attempt_id"], None, "cut off")
    await event(pool, one["attempt_id"], "ringing", sid="CA2", source="list")
    await event(pool, two["attempt_id"], "ringing", sid="CA2", sequence=1)
    assert await pool.fetchval(sql.query("return_attempt"), one["attempt_id"], 0.0, None, "not sent") == "returned"
    jobs = await pool.fetch("SELECT status, twilio_call_sid FROM outbound_call_jobs ORDER BY position")
    assert [tuple(j) for j in jobs] == [("queued", None), ("calling", "CA2")]
    await assert_counters_match(pool, run.run_id)


async def test_a_list_bind_beside_the_callback_of_the_same_call(pool: Any) -> None:
    run, _, [one, two] = await dial(pool, phones=["+12125550101", "+12125550101"])
    async with pool.acquire() as first:
        transaction = first.transaction()
        await transaction.start()
        await event(first, one["attempt_id"], "ringing", sid="CA2", source="list")
        callback = asyncio.create_task(event(pool, two["attempt_id"], "ringing", sid="CA2", sequence=1))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%take_carrier%'"
        )
        await eventually(lambda: pool.fetchval(waiting))
        await transaction.commit()
    row = await asyncio.wait_for(callback, 5)
    assert (row["result"], row["call_sid"]) == ("taken", "CA2")
    assert (
        await pool.fetchval("SELECT state FROM outbound_call_attempts WHERE id = $1", one["attempt_id"])
        == "unknown"
    )
    await assert_counters_match(pool, run.run_id)


async def test_a_last_callback_beside_an_intent_of_the_same_run_is_no_deadlock(pool: Any) -> None:
    """The daemon thinks that something is queued, and waits for the business; the callback completes the run."""
    run, worker, [intent] = await dial(pool)
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM businesses WHERE id = $1 FOR UPDATE", run.business_id)
        intending = asyncio.create_task(worker.intend(run.run_id, [5]))
        await eventually(lambda: waits_for_a_lock(pool, "%write_intents%"))
        callback = asyncio.create_task(event(pool, intent["attempt_id"], "completed", sid="CA1", sequence=3))
        await eventually(lambda: waits_for_a_lock(pool, "%take_carrier_event%"))
        await transaction.commit()
    assert (await asyncio.wait_for(intending, 5))[0]["verdict"] == "no_job"
    assert (await asyncio.wait_for(callback, 5))["ended_now"]
    assert await pool.fetchval("SELECT status FROM outbound_call_runs") == "completed"


async def waits_for_a_lock(pool: Any, like: str) -> bool:
    waiting = """SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1"""
    return bool(await pool.fetchval(waiting, like))


async def test_look_ups_of_a_call_that_shows_nothing_new_are_further_and_further_apart(pool: Any) -> None:
    _, _, [intent] = await dial(pool)
    await event(pool, intent["attempt_id"], "in-progress", sid="CA1", sequence=2)
    await pool.execute("UPDATE outbound_call_attempts SET last_news_at = now() - interval '1 hour'")
    distance = "SELECT round(extract(epoch FROM next_look_at - now()))::int FROM outbound_call_attempts"
    distances = []
    for _ in range(3):
        assert len(await pool.fetch(sql.query("take_silent_attempts"), 30.0, 10, 60.0, 300.0)) == 1
        await event(pool, intent["attempt_id"], "in-progress", sid="CA1", source="fetch")
        distances.append(await pool.fetchval(distance))
        await pool.execute("UPDATE outbound_call_attempts SET next_look_at = now()")
    assert distances == [30, 60, 120]
    await event(pool, intent["attempt_id"], "completed", sid="CA1", source="fetch")
    assert await pool.fetchval("SELECT state FROM outbound_call_attempts") == "ended"
