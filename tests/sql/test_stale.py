"""What comes after: stale runs, the sweep, hang-ups."""

from __future__ import annotations

import asyncio
from typing import Any

import sql
from tests.sql.stopping import age_heartbeat, dialing, row_of, stop, stop_stale, sweep
from tests.support.runs import Worker, assert_counters_match, counters, event


async def test_a_stale_run_is_stopped_and_what_was_never_dialed_has_failed(pool: Any) -> None:
    run, one, [live] = await dialing(pool, 5, 1)
    await age_heartbeat(pool, run, 31)
    stopped = await stop_stale(pool, run.run_id, 30)
    assert (stopped["jobs"], stopped["worker"]) == (4, one.id)
    assert stopped["heartbeat_age_seconds"] >= 31
    row = await row_of(pool, run)
    assert (row["status"], row["sweep_to"], row["ended_at"] is not None) == ("stopped", "failed", True)
    assert (row["locked_by_worker"], row["lock_ts"], row["last_heartbeat_at"]) == (None, None, None)
    assert await stop_stale(pool, run.run_id, 30) is None
    await sweep(pool, run)
    await event(pool, live["attempt_id"], "completed")
    have = await counters(pool, run.run_id)
    assert (have["failed"], have["completed"], have["not_dialed"]) == (4, 1, 4)
    assert (await row_of(pool, run))["status"] == "stopped"
    await assert_counters_match(pool, run.run_id)


async def test_who_lives_in_any_way_is_not_stale(pool: Any) -> None:
    run, one, _ = await dialing(pool, 5, 1)
    assert await stop_stale(pool, run.run_id, 30) is None, "it was beaten just now"
    await age_heartbeat(pool, run, 31)
    async with pool.acquire() as connection, connection.transaction():
        await Worker(connection, one.id, one.epochs).intend(run.run_id, [2])
        assert await stop_stale(pool, run.run_id, 30) is None, "somebody writes intents for it"
    assert await one.beat() == {run.run_id: "beaten"}
    assert await stop_stale(pool, run.run_id, 30) is None, "its holder's late beat came first"
    await age_heartbeat(pool, run, 31)
    two = await Worker.join(pool)
    assert await two.claim(takeover=0.001)
    assert await stop_stale(pool, run.run_id, 30) is None, "another daemon took it over"
    await age_heartbeat(pool, run, 31)
    await stop(pool, run.run_id, "cancel")
    assert await stop_stale(pool, run.run_id, 30) is None, "it is being cancelled"
    assert (await row_of(pool, run))["status"] == "running"


async def test_a_retry_takes_what_the_sweep_has_not_reached_yet_as_it_is_shown(pool: Any) -> None:
    run, _, _ = await dialing(pool, 5, 1)
    await stop(pool, run.run_id, "stop")
    assert await sweep(pool, run, 2) == 2
    new = await pool.fetchval(sql.query("insert_retry"), run.run_id, "operator", ["not_dialed"], None)
    assert await pool.fetchval(sql.query("copy_jobs"), run.run_id, new, ["not_dialed"]) == 4
    assert (await counters(pool, new))["queued"] == 4


async def test_two_sweepers_move_every_job_once(pool: Any) -> None:
    run, _, _ = await dialing(pool, 3000, 1)
    assert (await stop(pool, run.run_id, "stop"))["jobs"] == 2999

    async def sweeper() -> int:
        moved = 0
        while batch := await sweep(pool, run, 100):
            moved += batch
        return moved

    assert sum(await asyncio.gather(*(sweeper() for _ in range(3)))) == 2999
    await assert_counters_match(pool, run.run_id)
    assert (await counters(pool, run.run_id))["cancelled"] == 2999


async def test_a_hang_up_is_asked_once_and_again_after_a_while_and_told_to_who_learns_a_sid(pool: Any) -> None:
    run, _, [known, nameless, over] = await dialing(pool, 5, 3)
    await event(pool, known["attempt_id"], "ringing", sid="CA1")
    await event(pool, over["attempt_id"], "busy", sid="CA3")
    take = sql.query("take_due_hangups")
    assert await pool.fetch(take, None, 5.0) == []
    await stop(pool, run.run_id, "force_cancel", hangup=True)
    due = await pool.fetch(take, run.run_id, 5.0)
    assert {r["attempt_id"]: r["call_sid"] for r in due} == {
        known["attempt_id"]: "CA1",
        nameless["attempt_id"]: None,
    }
    assert await pool.fetch(take, None, 5.0) == []
    assert [r["call_sid"] for r in await pool.fetch(take, None, 0.0)] == ["CA1"]
    assert (await event(pool, nameless["attempt_id"], "queued", sid="CA2", source="answer"))["hangup_requested"]
    assert {r["call_sid"] for r in await pool.fetch(take, None, 0.0)} == {"CA1", "CA2"}


async def test_calls_of_a_run_that_was_only_stopped_can_still_be_hung_up(pool: Any) -> None:
    run, _, [live] = await dialing(pool, 5, 1)
    await event(pool, live["attempt_id"], "ringing", sid="CA1")
    await stop(pool, run.run_id, "stop")
    done = await stop(pool, run.run_id, "force_cancel", hangup=True)
    assert (done["changed"], done["status"], done["jobs"]) == (True, "stopped", 0)
    assert len(await pool.fetch(sql.query("take_due_hangups"), run.run_id, 5.0)) == 1
    assert not (await stop(pool, run.run_id, "force_cancel", hangup=True))["changed"]
