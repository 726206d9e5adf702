"""Every named point, every kind of end: somebody recovers, nobody is called twice, nothing is lost.

One scenario passes every point: a create that is too early (429), a bad number, a call whose answer and callbacks
are lost, one that was never made, one whose last callback is lost, and two that go well.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import aiohttp
import pytest

from dialer.crashpoints import POINTS
from simulator import INSTANT
from tests.support.processes import is_stopped
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.quiet import slots_are_free
from tests.system.stack import FROM, TOKEN, TWIML, Process, Stack, numbers

# Ten times as fast as in life.
FAST = {
    "HEARTBEAT_INTERVAL_SECONDS": "0.2",
    "TAKEOVER_AFTER_SECONDS": "1.2",
    "CALL_SILENT_AFTER_SECONDS": "0.6",
    "UNKNOWN_AFTER_SECONDS": "0.4",
    "CARRIER_LIST_LAG_SECONDS": "0.5",
    "TWILIO_TIMEOUT_SECONDS": "1.5",
}
LEASE = 1.2
OF_CONTROL = tuple(p for p in POINTS if p.split(".")[0] in ("start", "callback"))
OF_DRAIN = ("drain.begun", "drain.handed_over")
OF_RECORDINGS = tuple(p for p in POINTS if p.startswith("recording."))  # see test_recordings_crashes.py
OF_DIALING = tuple(p for p in POINTS if p not in OF_CONTROL + OF_DRAIN + OF_RECORDINGS)
ACTIONS = ("kill", "exit", "replaced", "cut")


def arrange(system: Stack, phones: list[str]) -> None:
    """The misbehaviours that lead past every point; each is about one number, however often it is dialed."""
    busy, bad, unheard, never, silent, *_ = phones
    sim = system.sim
    sim.misbehave("create", "error", status=429, to=busy)
    sim.misbehave("create", "error", status=400, code=21211, to=bad, times=None)
    sim.misbehave("create", "error", status=500, accept=True, to=unheard, times=None)
    sim.misbehave("callback", "lose", to=unheard, times=None)
    sim.misbehave("create", "error", status=503, to=never, times=None)
    sim.misbehave("callback", "lose", event="completed", to=silent, times=None)


async def is_at_its_point(process: Process) -> bool:
    """Has it ended, or does it stand still?"""
    return process.popen.poll() is not None or is_stopped(process.popen.pid)


async def act(system: Stack, armed: Process, action: str, module: str) -> None:
    """Do to a process at its point what the action says; then somebody else is there, or it is there again."""
    await eventually(lambda: is_at_its_point(armed), timeout=20, description="the point was passed")
    if action in ("kill", "exit"):
        await armed.ends()
        await again(system, module)
    elif action == "cut":
        await system.db.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        armed.send(signal.SIGCONT)
    elif action == "replaced":
        if module == "dialer":
            other = await again(system, module)
            # A claim in flight is nobody's lease yet: then there is nothing to take over.
            await eventually(lambda: lease_is_over(system, other))
        armed.send(signal.SIGCONT)


async def again(system: Stack, module: str) -> Process:
    if module == "dialer":
        return await system.daemon()
    port = system.url.rpartition(":")[2]
    process = system.spawn(module, CONTROL_PORT=port)
    await process.started()
    await system.is_ready()
    system.control = process
    return process


async def lease_is_over(system: Stack, other: Process) -> bool:
    """The other holds every run that is still to be dialed (or nothing is)."""
    worker = other.events("STARTUP")[0]["worker"]
    left: int = await system.db.fetchval(
        """SELECT count(*) FROM outbound_call_runs
           WHERE ended_at IS NULL AND locked_by_worker IS DISTINCT FROM $1::uuid""",
        worker,
    )
    return left == 0


async def everything_is_well(system: Stack, run: int, phones: list[str], redis: Any) -> None:
    """The run has ended, each lead with a reason; the ledger has no call too many; nothing is held any more."""
    shown = await system.ended(run, timeout=40)
    assert shown["status"] == "completed", shown
    jobs = {j["phone"]: j["disposition"] for j in await system.jobs(run)}
    assert set(jobs) == set(phones)
    assert jobs[phones[1]] in ("invalid_number", "unknown")
    # Whoever was on the wire at the crash may be unknown; nobody else.
    assert set(jobs.values()) <= {"answered", "invalid_number", "unknown"}, jobs
    await slots_are_free(system, redis)
    ledger = system.sim.ledger
    assert ledger.most_calls_of_an_attempt() <= 1
    assert ledger.most_live() <= 2
    assert all(calls == 1 for calls in ledger.calls_per_number().values()), ledger.calls_per_number()
    for phone in phones:
        # A number that was called is never said to be not dialed; one that is "answered" was called.
        assert (phone in ledger.calls_per_number()) or jobs[phone] in ("invalid_number", "unknown")
    await system.check(run, limit=2)


def action_at(point: str, action: str) -> str:
    # The first beats are of a daemon that holds nothing yet.
    nth = "@5" if point.startswith("beat") else ""
    return f"{point}={'freeze' if action in ('replaced', 'cut') else action}{nth}"


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", OF_DIALING)
async def test_the_daemon_at_every_point(make_stack: MakeStack, redis: Any, point: str, action: str) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.05}), **FAST) as system:
        phones = list(numbers(7))
        arrange(system, phones)
        armed = system.spawn("dialer", DIALER_CRASH_POINTS=action_at(point, action))
        run = await start(system, phones)
        await act(system, armed, action, "dialer")
        await everything_is_well(system, run, phones, redis)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", OF_DRAIN)
async def test_the_daemon_that_drains(make_stack: MakeStack, redis: Any, point: str, action: str) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.05}), **FAST) as system:
        phones = list(numbers(7))
        arrange(system, phones)
        armed = system.spawn("dialer", DIALER_CRASH_POINTS=action_at(point, action))
        run = await start(system, phones)
        await system.sim.wait_for(lambda: len(system.sim.ledger.arrivals) >= 2)
        armed.send(signal.SIGTERM)
        await act(system, armed, action, "dialer")
        if action == "cut":
            await armed.ends()
            await system.daemon()
        await everything_is_well(system, run, phones, redis)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", [p for p in OF_CONTROL if p.startswith("callback")])
async def test_control_at_every_point_of_a_callback(
    make_stack: MakeStack, redis: Any, point: str, action: str
) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.05}), **FAST) as system:
        await replace_control(system, action_at(point, action))
        phones = list(numbers(7))
        arrange(system, phones)
        run = await start(system, phones)
        assert system.control is not None
        armed = system.control
        await system.daemon()
        await act(system, armed, action, "control")
        await everything_is_well(system, run, phones, redis)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", [p for p in OF_CONTROL if p.startswith("start")])
async def test_control_at_every_point_of_a_start(
    make_stack: MakeStack, redis: Any, point: str, action: str
) -> None:
    """The client repeats with its Idempotency-Key until it is answered, and one run comes of it."""
    async with make_stack(INSTANT.changed({"talk_seconds": 0.05}), **FAST) as system:
        phones = list(numbers(7))
        arrange(system, phones)
        business = await system.business(limit=2)
        await replace_control(system, action_at(point, action))
        assert system.control is not None
        armed = system.control
        starting = asyncio.create_task(start_insistently(system, business, phones))
        await act(system, armed, action, "control")
        run = await asyncio.wait_for(starting, 20)
        await system.daemon()
        await everything_is_well(system, run, phones, redis)
        assert await system.db.fetchval("SELECT count(*) FROM outbound_call_runs") == 1


async def replace_control(system: Stack, armed: str) -> None:
    assert system.control is not None
    system.control.send(signal.SIGTERM)
    await system.control.ends()
    await system.start_control(DIALER_CRASH_POINTS=armed)


async def start(system: Stack, phones: list[str]) -> int:
    business = await system.business(limit=2)
    return await system.start(business, phones, ring_timeout_seconds=1, call_time_limit_seconds=5)


async def start_insistently(system: Stack, business: int, phones: list[str]) -> int:
    body = {
        "business_id": business,
        "leads": [{"phone": phone} for phone in phones],
        "twiml": TWIML,
        "from_number": FROM,
        "ring_timeout_seconds": 1,
        "call_time_limit_seconds": 5,
    }
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "once"}

    async def ask() -> int:
        try:
            async with system.http.post(
                f"{system.url}/api/runs", json=body, headers=headers, timeout=aiohttp.ClientTimeout(total=5)
            ) as answer:
                return int((await answer.json())["run_id"]) if answer.status == 201 else 0
        except (aiohttp.ClientError, TimeoutError):
            return 0

    return await eventually(ask, timeout=20, interval=0.1)
