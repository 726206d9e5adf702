"""The end of an example: everything comes to rest, by nothing but what a system that is left alone does itself."""

from __future__ import annotations

from dialer.rules.outcome import Placed
from tests.model import creates, lookups, operators, slots
from tests.model.daemon import Daemon
from tests.model.rows import ENDED, dump
from tests.model.world import World

# Longer than a call can last, and many times what it takes.
ROUNDS = 60
THOROUGH_ROUNDS = 2
STEP_SECONDS = 35.01


async def come_to_rest(world: World, *, deaf: bool) -> None:
    """Let the system finish by itself; then nothing is left, and doing it all once more changes nothing.

    `deaf`: no callback arrives any more, and only look-ups tell of the calls.
    """
    for daemon in world.daemons:
        daemon.frozen = False
    for run in world.rows.open_runs():
        await operators.order(world, run, "resume")
    await world.check()
    told: set[tuple[str, int]] = set()
    for n in range(ROUNDS):
        world.is_thorough = n < THOROUGH_ROUNDS  # the later ones are like these, and there are many
        await _round(world, told, deaf)
        await world.check()
        if await _is_quiet(world):
            break
    await _check_rest(world)
    before = await dump(world.db)
    await _round(world, set(), deaf)
    assert await dump(world.db) == before, "I18: another round of every recovery changed something"
    await _check_rest(world)


async def _round(world: World, told: set[tuple[str, int]], deaf: bool) -> None:
    """What all daemons, control and the carrier do within some time; `told`: callbacks that came already."""
    for daemon in world.daemons:
        await _work(world, daemon)
    await operators.reap(world)
    await operators.hang_up(world)
    await operators.sweep(world)
    await world.check()
    for request in list(world.carrier.wire):
        creates.decide(world, request, Placed(""), exists=True)
    for daemon in world.daemons:
        await _settle(world, daemon)
    for call in world.carrier.live():
        call.end(world.clock.now)
    for call in world.carrier.talkative() if not deaf else []:
        for sequence in range(len(call.said)):
            if (call.sid, sequence) not in told:
                told.add((call.sid, sequence))
                await creates.call_back(world, call, sequence, world.daemons)
    await world.check()
    for daemon in world.daemons:
        await lookups.look_up(world, daemon, young=True)
    await world.pass_time(STEP_SECONDS)
    for daemon in world.daemons:
        # One that serves a business compares it; somebody always does.
        for business in world.businesses if daemon is world.daemons[0] else daemon.businesses():
            await slots.read(world, daemon, business)
            await slots.reconcile(world, daemon, business)


async def _work(world: World, daemon: Daemon) -> None:
    await world.beat(daemon)
    await world.claim(daemon)
    await creates.undo(world, daemon)
    await world.check()
    for business in daemon.businesses():
        await slots.turn(world, daemon, business)
    for holding in list(daemon.runs.values()):
        if holding.reserved:
            await creates.intend(world, daemon, holding)
            await world.check()
    for work in list(daemon.unsent.values()):
        await creates.send(world, daemon, work)


async def _settle(world: World, daemon: Daemon) -> None:
    for attempt in list(daemon.waiting):
        creates.time_out(daemon, attempt)
    for attempt in list(daemon.answered):
        await creates.settle(world, daemon, attempt)


async def _is_quiet(world: World) -> bool:
    swept = all(r["swept_at"] is not None for r in world.rows.runs.values() if r["sweep_to"] is not None)
    empty = [not (await slots.held(world, business))[0] for business in world.businesses]
    return swept and all(empty) and not world.rows.live() and not world.rows.open_runs()


async def _check_rest(world: World) -> None:
    rows = world.rows
    assert not rows.live(), f"attempts that never ended: {list(rows.live().values())}"
    for business in world.businesses:
        members, _ = await slots.held(world, business)
        assert not members, f"I12: Redis holds {members} of business {business}, and nothing is live"
    for run_id, run in rows.runs.items():
        assert run["status"] in ENDED, f"run {run_id} is {run['status']} for ever"
        assert run["locked_by_worker"] is None, f"run {run_id} has ended and is locked"
        assert run["sweep_to"] is None or run["swept_at"] is not None, f"run {run_id} is never swept"
    for job_id, job in rows.jobs.items():
        status = rows.runs[job["run_id"]]["status"]
        assert job["ended_at"] is not None, f"job {job_id} of a run that is {status} is {job['status']} for ever"
        assert job["disposition"] is not None, f"job {job_id} has no disposition"
        dialed = any(a["job_id"] == job_id for a in rows.attempts.values())
        assert job["disposition"] == "not_dialed" or dialed, f"job {job_id} ended without an attempt"
        assert status != "completed" or job["disposition"] != "not_dialed", f"job {job_id} was never dialed"
    assert await world.store.runs_to_sweep(20) == []
