"""The intent: the only statement by which a job leaves the queue and a slot is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.runs import FROM, Worker, add_business, add_run, assert_counters_match, counters, event
from tests.support.waiting import eventually


def verdicts(rows: list[Any]) -> list[tuple[int, str]]:
    return [(r["slot"], r["verdict"]) for r in rows]


async def test_takes_the_next_jobs_in_the_lists_order(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 4)
    one = await Worker.join(pool)
    await one.claim()
    rows = await one.intend(run.run_id, [1, 2])
    assert [(r["verdict"], r["job_id"], r["position"], r["lead_id"]) for r in rows] == [
        ("intent", run.jobs[0], 0, "lead-1"),
        ("intent", run.jobs[1], 1, "lead-2"),
    ]
    assert rows[0]["queued_left"] == 2
    [third] = await one.intend(run.run_id, [3], after=rows[-1]["position"])
    assert third["job_id"] == run.jobs[2]
    attempt = await pool.fetchrow("SELECT * FROM outbound_call_attempts WHERE id = $1", third["attempt_id"])
    assert (attempt["state"], attempt["from_number"], attempt["lease_epoch"]) == ("intent", FROM, 1)
    job = await pool.fetchrow("SELECT * FROM outbound_call_jobs WHERE id = $1", third["job_id"])
    assert (job["status"], job["dial_lock_token"], job["attempts_made"]) == ("dialing", third["attempt_id"], 1)
    await assert_counters_match(pool, run.run_id)


async def test_a_slot_beyond_the_limit_or_taken_is_refused_whatever_redis_thought(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool, limit=3), 9)
    one = await Worker.join(pool)
    await one.claim()
    await one.intend(run.run_id, [2])
    rows = await one.intend(run.run_id, [4, 2, 1, 0])
    assert verdicts(rows) == [(0, "slot_above_limit"), (1, "intent"), (2, "slot_taken"), (4, "slot_above_limit")]


async def test_one_slot_asked_for_twice_in_one_statement_is_given_once(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 9)
    one = await Worker.join(pool)
    await one.claim()
    assert sorted(v for _, v in verdicts(await one.intend(run.run_id, [1, 1]))) == ["intent", "slot_taken"]
    await assert_counters_match(pool, run.run_id)


async def test_a_runs_own_concurrency_is_kept(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool, limit=5), 9, concurrency=2)
    one = await Worker.join(pool)
    await one.claim()
    rows = await one.intend(run.run_id, [1, 2, 3])
    assert verdicts(rows) == [(1, "intent"), (2, "intent"), (3, "at_concurrency")]


async def test_nothing_queued_behind_the_cursor_is_said(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    one = await Worker.join(pool)
    await one.claim()
    assert verdicts(await one.intend(run.run_id, [1], after=0)) == [(1, "no_job")]
    assert verdicts(await one.intend(run.run_id, [1, 2])) == [(1, "intent"), (2, "no_job")]


async def test_an_old_epoch_another_worker_and_a_cancelled_run_are_lost(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 9)
    one, two = await Worker.join(pool), await Worker.join(pool)
    await one.claim()
    two.epochs = dict(one.epochs)
    assert verdicts(await two.intend(run.run_id, [1])) == [(1, "lost")]
    assert verdicts(await one.intend(run.run_id, [1], epoch=99)) == [(1, "lost")]
    await pool.execute("UPDATE outbound_call_runs SET cancel_requested = true WHERE id = $1", run.run_id)
    assert verdicts(await one.intend(run.run_id, [1])) == [(1, "lost")]
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_attempts") == 0


async def test_after_the_limit_was_lowered_none_starts_until_fewer_are_live(pool: Any) -> None:
    business = await add_business(pool, limit=5)
    run = await add_run(pool, business, 20)
    one = await Worker.join(pool)
    await one.claim()
    live = await one.intend(run.run_id, [1, 2, 3, 4, 5])
    await pool.execute("UPDATE businesses SET max_concurrent_calls = 3 WHERE id = $1", business)
    for row, status in ((live[0], "completed"), (live[1], "busy")):
        await event(pool, row["attempt_id"], status, sid=f"CA{row['slot']}")
        # Slots 4 and 5 are still live: 4 live, then 3: the free slots below the limit must not be used.
        assert verdicts(await one.intend(run.run_id, [1])) == [(1, "over_limit")]
    await event(pool, live[2]["attempt_id"], "completed", sid="CA3")
    assert verdicts(await one.intend(run.run_id, [1, 2, 3])) == [
        (1, "intent"),
        (2, "over_limit"),
        (3, "over_limit"),
    ]
    await event(pool, live[4]["attempt_id"], "completed", sid="CA5")
    await event(pool, live[3]["attempt_id"], "completed", sid="CA4")
    assert verdicts(await one.intend(run.run_id, [2, 3])) == [(2, "intent"), (3, "intent")]


async def test_many_intents_at_once_never_exceed_the_limit(pool: Any) -> None:
    """Two runs of one business on two daemons, all asking for all slots at once, in opposite orders."""
    business = await add_business(pool, limit=3)
    workers = []
    for _ in range(2):
        worker = await Worker.join(pool)
        run = await add_run(pool, business, 50)
        [row] = await worker.claim()
        assert row["run_id"] == run.run_id
        workers.append((worker, run.run_id))
    orders = ([1, 2, 3], [3, 2, 1], [2, 3, 1])
    results = await asyncio.gather(*(w.intend(r, orders[i % 3]) for i in range(4) for w, r in workers))
    written = [row["slot"] for rows in results for row in rows if row["verdict"] == "intent"]
    assert sorted(written) == [1, 2, 3]
    for _, run_id in workers:
        await assert_counters_match(pool, run_id)


async def blocked(pool: Any, like: str) -> bool:
    """Is a statement like this waiting for a lock?"""
    n = await pool.fetchval(
        """SELECT count(*) FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1""",
        like,
    )
    return bool(n)


@pytest.mark.parametrize(
    "stop",
    [
        "UPDATE outbound_call_runs SET status = 'stopped', ended_at = now() WHERE id = $1",
        "UPDATE outbound_call_runs SET cancel_requested = true WHERE id = $1",
        "UPDATE outbound_call_runs SET status = 'paused' WHERE id = $1",
    ],
)
async def test_a_stop_waits_for_an_intent_in_flight_and_none_commits_after_it(pool: Any, stop: str) -> None:
    run = await add_run(pool, await add_business(pool), 9)
    one = await Worker.join(pool)
    await one.claim()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        intender = Worker(connection, one.id, one.epochs)
        assert verdicts(await intender.intend(run.run_id, [1])) == [(1, "intent")]
        stopping = asyncio.create_task(pool.execute(stop, run.run_id))
        await eventually(lambda: blocked(pool, "UPDATE outbound_call_runs SET %"))
        await transaction.commit()
    await asyncio.wait_for(stopping, 5)
    assert verdicts(await one.intend(run.run_id, [2])) == [(2, "lost")]
    assert (await counters(pool, run.run_id))["in_progress"] == 1


async def test_an_intent_waits_for_a_stop_and_then_finds_nothing(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 9)
    one = await Worker.join(pool)
    await one.claim()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", run.run_id)
        intending = asyncio.create_task(one.intend(run.run_id, [1]))
        await eventually(lambda: blocked(pool, "%write_intents%"))
        await transaction.commit()
    assert verdicts(await asyncio.wait_for(intending, 5)) == [(1, "lost")]


async def test_a_beat_does_not_wait_for_an_intent(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 9)
    one = await Worker.join(pool)
    await one.claim()
    async with pool.acquire() as connection, connection.transaction():
        await Worker(connection, one.id, one.epochs).intend(run.run_id, [1])
        assert await asyncio.wait_for(one.beat(), 5) == {run.run_id: "beaten"}


async def test_a_limit_is_not_changed_under_an_intent(pool: Any) -> None:
    business = await add_business(pool, limit=3)
    run = await add_run(pool, business, 9)
    one = await Worker.join(pool)
    await one.claim()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await Worker(connection, one.id, one.epochs).intend(run.run_id, [3])
        lowering = asyncio.create_task(
            pool.execute("UPDATE businesses SET max_concurrent_calls = 1 WHERE id = $1", business)
        )
        await eventually(lambda: blocked(pool, "UPDATE businesses %"))
        await transaction.commit()
    await asyncio.wait_for(lowering, 5)
    assert verdicts(await one.intend(run.run_id, [1])) == [(1, "over_limit")]
