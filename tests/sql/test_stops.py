"""Stops against intents, callbacks and returns that are under way: whoever is first, the rows agree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import sql
from tests.sql.stopping import ACTIONS, dialing, hold, row_of, stop, sweep, waits_for_a_lock
from tests.support.runs import Worker, add_business, add_run, assert_counters_match, counters, event
from tests.support.waiting import eventually


@pytest.mark.parametrize("action", [*ACTIONS, "pause"])
async def test_an_intent_in_flight_comes_before_the_answer_and_none_after(pool: Any, action: str) -> None:
    run, one, _ = await dialing(pool, 9, 0)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        [written] = await Worker(connection, one.id, one.epochs).intend(run.run_id, [1])
        assert written["verdict"] == "intent"
        acting = hold(pool, run.run_id, action) if action == "pause" else stop(pool, run.run_id, action)
        stopping = asyncio.create_task(acting)
        await eventually(lambda: waits_for_a_lock(pool, "%_run($1%"))
        await transaction.commit()
    done = await asyncio.wait_for(stopping, 5)
    assert done["changed"]
    if action != "pause":
        assert done["jobs"] == 8
    if action == "cancel":
        assert (done["status"], done["cancel_requested"]) == ("running", True)
    assert {r["verdict"] for r in await one.intend(run.run_id, [2, 3])} == {"lost"}
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_attempts") == 1
    await assert_counters_match(pool, run.run_id)


@pytest.mark.parametrize("action", [*ACTIONS, "pause"])
async def test_an_intent_that_comes_during_a_stop_waits_for_it_and_finds_nothing(pool: Any, action: str) -> None:
    run, one, _ = await dialing(pool, 9, 0)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        acting = (
            hold(connection, run.run_id, action) if action == "pause" else stop(connection, run.run_id, action)
        )
        await acting
        intending = asyncio.create_task(one.intend(run.run_id, [1]))
        await eventually(lambda: waits_for_a_lock(pool, "%write_intents%"))
        await transaction.commit()
    assert [r["verdict"] for r in await asyncio.wait_for(intending, 5)] == ["lost"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("status", ["pending", "running", "paused"])
async def test_each_stop_ends_an_idle_run_at_once_whatever_it_was(pool: Any, action: str, status: str) -> None:
    run = await add_run(pool, await add_business(pool), 4)
    if status != "pending":
        await (await Worker.join(pool)).claim()
    if status == "paused":
        await hold(pool, run.run_id, "pause")
    done = await stop(pool, run.run_id, action)
    assert (done["status"], done["jobs"]) == ("stopped" if action == "stop" else "cancelled", 4)
    row = await row_of(pool, run)
    assert row["ended_at"] is not None
    assert (row["locked_by_worker"], row["lock_ts"], row["last_heartbeat_at"]) == (None, None, None)
    assert await sweep(pool, run) == 4
    where = "failed" if action == "force_cancel" else "cancelled"
    assert (await counters(pool, run.run_id))[where] == 4
    await assert_counters_match(pool, run.run_id)


@pytest.mark.parametrize("status", ["pending", "running", "paused"])
async def test_a_cancel_with_live_calls_is_running_until_the_last_has_ended(pool: Any, status: str) -> None:
    run, one, [first, second] = await dialing(pool, 9, 2)
    if status == "pending":
        await pool.fetch(sql.query("hand_over_runs"), one.id)
    if status == "paused":
        await hold(pool, run.run_id, "pause")
    done = await stop(pool, run.run_id, "cancel")
    assert (done["status"], done["cancel_requested"], done["jobs"]) == ("running", True, 7)
    assert await one.claim(takeover=0.001) == [], "a run that is being cancelled is nobody's to take"
    await event(pool, first["attempt_id"], "completed", sid="CA1")
    assert (await row_of(pool, run))["status"] == "running"
    # Not one of the seven has been swept.
    await event(pool, second["attempt_id"], "busy", sid="CA2")
    row = await row_of(pool, run)
    assert (row["status"], row["ended_at"] is not None) == ("cancelled", True)
    assert await sweep(pool, run) == 7
    await assert_counters_match(pool, run.run_id)
    assert (await row_of(pool, run))["ended_at"] == row["ended_at"]


async def test_the_last_callback_commits_while_a_cancel_waits_for_it(pool: Any) -> None:
    run, _, [only] = await dialing(pool, 3, 1)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await event(connection, only["attempt_id"], "completed")
        cancelling = asyncio.create_task(stop(pool, run.run_id, "cancel"))
        await eventually(lambda: waits_for_a_lock(pool, "%stop_run%"))
        await transaction.commit()
    done = await asyncio.wait_for(cancelling, 5)
    assert (done["status"], done["jobs"]) == ("cancelled", 2)


async def test_a_cancel_commits_while_the_last_callback_waits_for_it(pool: Any) -> None:
    run, _, [only] = await dialing(pool, 3, 1)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert (await stop(connection, run.run_id, "cancel"))["status"] == "running"
        ending = asyncio.create_task(event(pool, only["attempt_id"], "completed"))
        await eventually(lambda: waits_for_a_lock(pool, "%take_carrier_event%"))
        await transaction.commit()
    assert (await asyncio.wait_for(ending, 5))["ended_now"]
    assert (await row_of(pool, run))["status"] == "cancelled"


async def test_a_callback_that_waits_for_the_counters_holds_no_lock_on_the_run(pool: Any) -> None:
    """Or a stop, which takes the one and then the other, and this callback would wait for each other."""
    run, _, [only] = await dialing(pool, 3, 1)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM outbound_call_run_counters WHERE run_id = $1 FOR NO KEY UPDATE", run.run_id
        )
        # Its end is the first that is heard of this call: the job is given its SID, and ended.
        ending = asyncio.create_task(event(pool, only["attempt_id"], "completed"))
        await eventually(lambda: waits_for_a_lock(pool, "%take_carrier_event%"))
        await connection.execute("SELECT FROM outbound_call_runs WHERE id = $1 FOR UPDATE NOWAIT", run.run_id)
        done = await stop(connection, run.run_id, "cancel")
        assert done["status"] == "running"
    assert (await asyncio.wait_for(ending, 5))["ended_now"]
    assert (await row_of(pool, run))["status"] == "cancelled"


async def test_two_last_callbacks_of_a_cancelled_run_commit_together(pool: Any) -> None:
    run, _, intents = await dialing(pool, 9, 2)
    await stop(pool, run.run_id, "cancel")
    async with pool.acquire() as first, pool.acquire() as second:
        transactions = [c.transaction() for c in (first, second)]
        for t in transactions:
            await t.start()
        await event(first, intents[0]["attempt_id"], "completed", sid="CA1")
        other = asyncio.create_task(event(second, intents[1]["attempt_id"], "busy", sid="CA2"))
        await eventually(lambda: waits_for_a_lock(pool, "%take_carrier_event%"))
        await transactions[0].commit()
        await asyncio.wait_for(other, 5)
        await transactions[1].commit()
    assert (await row_of(pool, run))["status"] == "cancelled"


async def test_a_cancel_written_by_hand_ends_with_the_sweep_at_the_latest(pool: Any) -> None:
    """It takes the run's lock alone, so a callback that commits beside it cannot know of it."""
    run, _, [only] = await dialing(pool, 3, 1)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE outbound_call_runs SET cancel_requested = true WHERE id = $1", run.run_id)
        await event(pool, only["attempt_id"], "completed")
        await transaction.commit()
    assert (await row_of(pool, run))["status"] == "running"
    await sweep(pool, run)
    assert (await row_of(pool, run))["status"] == "cancelled"
    await assert_counters_match(pool, run.run_id)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_job_that_comes_back_during_a_stop_is_added_to_the_given_up(pool: Any, action: str) -> None:
    run, _, [only] = await dialing(pool, 3, 1)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert (await stop(connection, run.run_id, action))["jobs"] == 2
        # It has read that the run goes on, and now waits for the counters.
        returning = asyncio.create_task(
            pool.fetchval(sql.query("return_attempt"), only["attempt_id"], 0.0, 20429, "busy")
        )
        await eventually(lambda: waits_for_a_lock(pool, "%return_attempt%"))
        await transaction.commit()
    assert await asyncio.wait_for(returning, 5) == "returned"
    assert (await row_of(pool, run))["ended_at"] is not None
    shown = await pool.fetchrow(sql.query("show_runs"), [run.run_id])
    where = "failed" if action == "force_cancel" else "cancelled"
    assert (shown["queued"], shown["in_progress"], shown[where], shown["not_dialed"]) == (0, 0, 3, 3)
    assert await sweep(pool, run) == 3
    await assert_counters_match(pool, run.run_id)


async def test_the_second_stop_changes_nothing(pool: Any) -> None:
    run, _, _ = await dialing(pool, 5, 1)
    for first in ACTIONS:
        await stop(pool, run.run_id, first)
    before = await row_of(pool, run)
    assert before["status"] == "cancelled"
    for action in ACTIONS:
        done = await stop(pool, run.run_id, action)
        assert (done["changed"], done["status"], done["jobs"]) == (False, "cancelled", 0)
    assert await row_of(pool, run) == before
    assert await pool.fetchval("SELECT count(*) FROM audit_log") == 2  # cancel, force_cancel


async def test_a_force_cancel_leaves_what_a_cancel_has_given_up(pool: Any) -> None:
    run, _, _ = await dialing(pool, 5, 1)
    assert (await stop(pool, run.run_id, "cancel"))["jobs"] == 4
    await sweep(pool, run, 2)
    done = await stop(pool, run.run_id, "force_cancel")
    assert (done["status"], done["jobs"]) == ("cancelled", 0)
    await sweep(pool, run)
    assert (await counters(pool, run.run_id))["cancelled"] == 4
    await assert_counters_match(pool, run.run_id)


async def test_pause_and_resume_go_round_and_refuse_what_is_over(pool: Any) -> None:
    run, one, _ = await dialing(pool, 5, 1)
    await pool.execute("UPDATE outbound_call_runs SET last_error = 'carrier 21210' WHERE id = $1", run.run_id)
    assert (await hold(pool, run.run_id, "resume"))["changed"] is False
    assert tuple(await hold(pool, run.run_id, "pause")) == (True, "paused", False)
    row = await row_of(pool, run)
    assert (row["locked_by_worker"], row["last_heartbeat_at"], row["lock_ts"]) == (None, None, None)
    assert row["last_error"] == "carrier 21210"
    assert tuple(await hold(pool, run.run_id, "pause")) == (False, "paused", False)
    assert tuple(await hold(pool, run.run_id, "resume")) == (True, "pending", False)
    assert (await row_of(pool, run))["last_error"] is None
    one.epochs.clear()
    assert [r["resumed"] for r in await one.claim()] == [True]
    await stop(pool, run.run_id, "cancel")
    assert tuple(await hold(pool, run.run_id, "pause")) == (False, "running", True)
    await stop(pool, run.run_id, "stop")
    assert tuple(await hold(pool, run.run_id, "pause")) == (False, "stopped", True)
