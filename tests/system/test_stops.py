"""Stop means stop, on real processes: with a daemon at work, and with all of them dead."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from simulator import INSTANT
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import TOKEN, Process, Stack, numbers

LIVE = 3
ALIVE_OR_DEAD = pytest.mark.parametrize("alive", [True, False], ids=["daemon-alive", "daemon-dead"])
ACTIONS = ("cancel", "force-cancel", "stop")
JOBS = {"cancel": "jobs_cancelled", "force-cancel": "jobs_cancelled", "stop": "cancelled_jobs"}


async def act(system: Stack, run: int, action: str, **body: Any) -> Any:
    return await system.ask("POST", f"/api/runs/{run}/{action}", json=body)


async def talking(system: Stack, jobs: int, *, alive: bool = True) -> tuple[int, Process]:
    """A run whose first calls are answered, known, and never end by themselves; its daemon may be dead."""
    system.sim.everybody("stuck")
    daemon = await system.daemon()
    run = await system.start(await system.business(limit=LIVE), list(numbers(jobs)))
    await eventually(lambda: known_live(system), timeout=15)
    if not alive:
        await killed(daemon)
    return run, daemon


async def known_live(system: Stack) -> bool:
    live = await system.db.fetchval("SELECT count(*) FROM outbound_call_attempts WHERE state = 'live'")
    return bool(live == LIVE)


async def killed(daemon: Process) -> None:
    daemon.send(signal.SIGKILL)
    await daemon.ends()


def everybody_hangs_up(system: Stack) -> None:
    for call in list(system.sim.exchange.calls.values()):
        system.sim.exchange.callee_hangs_up(call)


async def jobs_without_a_call_have_none(system: Stack, run: int) -> None:
    """No job that was given up has a call, at the carrier or in the rows."""
    given_up = {j["phone"] for j in await system.jobs(run) if j["disposition"] == "not_dialed"}
    assert not given_up & set(system.sim.ledger.calls_per_number())
    assert not await system.db.fetchval(
        """SELECT count(*) FROM outbound_call_attempts a JOIN outbound_call_jobs j ON j.id = a.job_id
           WHERE j.disposition = 'not_dialed' AND a.disposition <> 'not_dialed'"""
    )


async def rows_have_followed(system: Stack, run: int) -> None:
    async def swept() -> bool:
        moment = await system.db.fetchval("SELECT swept_at FROM outbound_call_runs WHERE id = $1", run)
        return moment is not None

    await eventually(swept, timeout=10)


@ALIVE_OR_DEAD
async def test_a_cancel_waits_for_the_live_calls_with_and_without_a_daemon(system: Stack, alive: bool) -> None:
    run, _ = await talking(system, 10, alive=alive)
    first = await act(system, run, "cancel", reason="enough")
    assert first == {"run_id": run, "status": "running", "cancel_requested": True, "jobs_cancelled": 7}
    assert (await act(system, run, "cancel"))["jobs_cancelled"] == 0
    shown = await system.run(run)
    assert (shown["status"], shown["cancelled"], shown["active_calls"]) == ("running", 7, LIVE)
    everybody_hangs_up(system)
    shown = await system.ended(run)
    assert (shown["status"], shown["completed"], shown["cancelled"]) == ("cancelled", LIVE, 7)
    assert (await act(system, run, "cancel")) == {**first, "status": "cancelled", "jobs_cancelled": 0}
    await rows_have_followed(system, run)
    await jobs_without_a_call_have_none(system, run)
    assert len(system.sim.ledger.arrivals) == LIVE
    await system.check(run, limit=LIVE)


@ALIVE_OR_DEAD
async def test_a_force_cancel_with_hangup_really_ends_the_calls(system: Stack, alive: bool) -> None:
    run, _ = await talking(system, 10, alive=alive)
    answer = await act(system, run, "force-cancel", reason="wrong list", hangup=True)
    assert answer == {
        "run_id": run,
        "status": "cancelled",
        "jobs_cancelled": 7,
        "slots_released": 0,
        "calls_hung_up": LIVE,
    }
    assert system.sim.ledger.live_now == 0
    again = await act(system, run, "force-cancel", hangup=True)
    assert (again["status"], again["jobs_cancelled"], again["calls_hung_up"]) == ("cancelled", 0, 0)
    await rows_have_followed(system, run)
    shown = await system.run(run)
    assert (shown["completed"], shown["failed"], shown["in_progress"]) == (LIVE, 7, 0)
    await jobs_without_a_call_have_none(system, run)
    await system.check(run, limit=LIVE)


@pytest.mark.parametrize("action", ["force-cancel", "stop"])
@ALIVE_OR_DEAD
async def test_a_stop_is_at_once_and_live_calls_keep_their_slots(
    make_stack: MakeStack, alive: bool, action: str
) -> None:
    async with make_stack(STALE_AFTER_SECONDS="600") as system:
        run, _ = await talking(system, 10, alive=alive)
        answer = await act(system, run, action)
        assert answer[JOBS[action]] == 7
        for other in ACTIONS:
            again = await act(system, run, other)
            assert (again["status"], again[JOBS[other]]) == (answer["status"], 0)
        # The business is free, its slots are not: a new run waits for them.
        system.sim.everybody("answered")
        if not alive:
            await system.daemon()
        business = (await system.run(run))["business_id"]
        second = await system.start(business, ["+12125550100", "+12125550101"])
        everybody_hangs_up(system)
        assert (await system.ended(second))["completed"] == 2
        await rows_have_followed(system, run)
        shown = await system.run(run)
        assert (shown["status"], shown["completed"], shown["total"]) == (answer["status"], LIVE, 10)
        await jobs_without_a_call_have_none(system, run)
        await system.check(run, second, limit=LIVE)


@pytest.mark.parametrize("action", [*ACTIONS, "pause"])
async def test_nothing_new_is_dialed_after_the_answer_in_full_flight(system: Stack, action: str) -> None:
    daemon = await system.daemon()
    run = await system.start(await system.business(limit=10), list(numbers(900)))
    await system.sim.wait_for(lambda: len(system.sim.ledger.calls) > 50)
    answer = await act(system, run, action)
    answered_at = await system.db.fetchval("SELECT clock_timestamp()")
    attempts = await system.db.fetchval("SELECT count(*) FROM outbound_call_attempts")
    if action == "pause":
        assert answer["status"] == "paused"
        left = 900 - attempts
        # Creates that were in flight may come back unprocessed; none is lost.
        assert (await act(system, run, "resume"))["last_error"] is None
        assert (await system.ended(run, timeout=60))["completed"] == 900
        assert left > 0
    else:
        await system.ended(run)
        await rows_have_followed(system, run)
        assert await system.db.fetchval("SELECT max(created_at) FROM outbound_call_attempts") <= answered_at
        assert await system.db.fetchval("SELECT count(*) FROM outbound_call_attempts") == attempts
        dispositions = (await system.run(run))["dispositions"]
        # More only by creates in flight that were not sent: the daemon heard of the stop first.
        unsent = await system.db.fetchval(
            "SELECT count(*) FROM outbound_call_attempts WHERE disposition = 'not_dialed'"
        )
        assert dispositions["not_dialed"] == answer[JOBS[action]] + unsent
        await jobs_without_a_call_have_none(system, run)
    assert daemon.popen.poll() is None
    await system.check(run, limit=10)


async def test_pause_and_resume_with_live_calls(system: Stack) -> None:
    run, daemon = await talking(system, 6)
    paused = await act(system, run, "pause")
    assert (paused["status"], paused["active_calls"], paused["queued"]) == ("paused", LIVE, 3)
    assert await act(system, run, "pause") == paused
    everybody_hangs_up(system)

    async def all_settled() -> bool:
        return bool((await system.run(run))["completed"] == LIVE)

    await eventually(all_settled)
    assert len(system.sim.ledger.arrivals) == LIVE
    await eventually(lambda: daemon.events("RUN_LEFT"), timeout=5)
    assert len(system.sim.ledger.arrivals) == LIVE, "its daemon let go of it, and dialed nothing more"
    system.sim.everybody("answered")
    assert (await act(system, run, "resume"))["status"] == "pending"
    shown = await system.ended(run)
    assert (shown["status"], shown["completed"]) == ("completed", 6)
    await system.check(run, limit=LIVE)


async def test_a_pause_without_a_daemon_holds_for_the_next_one(system: Stack) -> None:
    run, _ = await talking(system, 5, alive=False)
    assert (await act(system, run, "pause"))["status"] == "paused"
    everybody_hangs_up(system)
    system.sim.everybody("answered")
    other = await system.daemon()
    second = await system.start(await system.business(), ["+12125550100"])
    await system.ended(second)
    assert [e["run_id"] for e in other.events("RUN_CLAIMED", "RUN_RESUMED")] == [second]
    await act(system, run, "resume")
    assert (await system.ended(run))["completed"] == 5
    await system.check(run, second, limit=LIVE)


@ALIVE_OR_DEAD
async def test_a_call_that_is_on_its_way_at_a_force_cancel_is_hung_up(make_stack: MakeStack, alive: bool) -> None:
    """Its SID comes later: with the create's answer, or, its daemon dead, with the first callback."""
    async with make_stack(INSTANT.changed({"queue_seconds": 1.5})) as system:
        system.sim.everybody("stuck")
        system.sim.misbehave("create", "slow", seconds=0.7, accept=True)
        daemon = await system.daemon()
        run = await system.start(await system.business(limit=1), list(numbers(2)))
        await system.sim.wait_for(lambda: len(system.sim.ledger.calls) == 1)
        if not alive:
            await killed(daemon)
        answer = await act(system, run, "force-cancel", hangup=True)
        assert (answer["jobs_cancelled"], answer["calls_hung_up"]) == (1, 0)
        await system.sim.wait_for(lambda: system.sim.ledger.live_now == 0, timeout=15)
        # Ended out of the queue it says nothing: control asks once more, and then looks it up.
        await eventually(lambda: nothing_is_live(system), timeout=20)
        await rows_have_followed(system, run)
        await system.check(run, limit=1)


async def nothing_is_live(system: Stack) -> bool:
    live = await system.db.fetchval("SELECT count(*) FROM outbound_call_attempts WHERE ended_at IS NULL")
    return bool(live == 0)


async def test_a_run_whose_daemons_are_all_dead_is_stopped_and_the_next_one_starts(make_stack: MakeStack) -> None:
    """STALE_AFTER_SECONDS is 30 in life, 4 here."""
    async with make_stack(STALE_AFTER_SECONDS="4") as system:
        run, _ = await talking(system, 8, alive=False)
        shown = await system.ended(run, timeout=4 + 5)
        assert (shown["status"], shown["failed"], shown["in_progress"]) == ("stopped", 5, LIVE)
        assert (shown["locked_by_worker"], shown["last_heartbeat_at"]) == (None, None)
        active = f"/api/outbound_calls/jobs/active?business_id={shown['business_id']}"
        async with system.http.get(system.url + active, headers={"Authorization": "Bearer " + TOKEN}) as found:
            assert found.status == 404
        assert system.control is not None
        assert [e["run_id"] for e in system.control.events("STALE_DETECTION")] == [run]
        system.sim.everybody("answered")
        await system.daemon()
        second = await system.start(shown["business_id"], ["+12125550100"])
        everybody_hangs_up(system)
        assert (await system.ended(second))["completed"] == 1
        await rows_have_followed(system, run)
        shown = await system.run(run)
        assert (shown["completed"], shown["failed"], shown["dispositions"]["not_dialed"]) == (LIVE, 5, 5)
        assert (await system.ask("POST", "/api/outbound/cleanup-stuck-jobs"))["cleaned_count"] == 0
        assert [e["run_id"] for e in system.control.events("STALE_DETECTION")] == [run]
        await system.check(run, second, limit=LIVE)


async def test_a_run_that_another_daemon_took_over_is_not_stopped(make_stack: MakeStack) -> None:
    async with make_stack(STALE_AFTER_SECONDS="4") as system:
        run, daemon = await talking(system, 6)
        other = await system.daemon()
        await killed(daemon)
        await eventually(lambda: other.events("RUN_RESUMED"), timeout=4)
        # Another run, whose only daemon is none, shows that the reaper is at work meanwhile.
        nobody = await system.start(await system.business(), ["+12125550100"])
        await act(system, nobody, "pause")
        await system.db.execute(
            """UPDATE outbound_call_runs SET status = 'running', locked_by_worker = gen_random_uuid(),
               lock_ts = now(), last_heartbeat_at = now() - interval '400 seconds' WHERE id = $1""",
            nobody,
        )
        assert (await system.ended(nobody, timeout=15))["status"] == "stopped"
        assert (await system.run(run))["status"] == "running"
        system.sim.everybody("answered")
        everybody_hangs_up(system)
        assert (await system.ended(run))["completed"] == 6
        await system.check(run, nobody, limit=LIVE)


async def test_a_retry_dials_those_that_were_not(system: Stack) -> None:
    run, _ = await talking(system, 8)
    await act(system, run, "stop")
    everybody_hangs_up(system)
    system.sim.everybody("answered")
    new = (await act(system, run, "retry"))["run_id"]
    shown = await system.ended(new)
    assert (shown["status"], shown["completed"], shown["total"]) == ("completed", 5, 5)
    assert set(system.sim.ledger.calls_per_number().values()) == {1}
    await rows_have_followed(system, run)
    await system.check(run, new, limit=LIVE)
