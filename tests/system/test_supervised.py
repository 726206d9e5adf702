"""Under a supervisor as systemd is one: when it is told what, and when its watchdog would strike."""

from __future__ import annotations

import asyncio
import signal
from functools import partial

from dialer.rhythm import cancelled
from simulator import INSTANT
from sql.migrate import migrate
from tests.support.supervisors import Supervisor, supervisor
from tests.support.waiting import eventually
from tests.system.conftest import MakeProxied, MakeStack
from tests.system.spoiling import freeze
from tests.system.stack import numbers
from tests.system.test_crash_points import FAST


async def is_ready(listener: Supervisor) -> None:
    await eventually(lambda: listener.said("READY=1"), timeout=15)
    await eventually(lambda: listener.feeds() > 1)


async def test_both_say_when_they_serve_and_when_they_stop(make_stack: MakeStack) -> None:
    with supervisor(abstract=True) as of_control, supervisor() as of_daemon:
        async with make_stack(**of_control.environment) as system:
            daemon, control = await system.daemon(**of_daemon.environment), system.control
            assert control is not None
            for process, listener in ((daemon, of_daemon), (control, of_control)):
                await is_ready(listener)
                assert not listener.said("STOPPING=1")
                process.send(signal.SIGTERM)
                assert await process.ends() == 0
                assert listener.lines().count("READY=1") == 1
                assert listener.said("STOPPING=1")
            assert f"serves at {system.url}" in of_control.statuses()
            assert "runs held: 0" in of_daemon.statuses()


async def test_a_start_that_waits_for_its_schema_asks_for_time(empty_database: str, make_stack: MakeStack) -> None:
    waits = {"DATABASE_URL": empty_database, "CONTROL_PORT": "0"}
    with supervisor() as of_control, supervisor() as of_daemon:
        async with make_stack() as system:
            listeners = {"control": of_control, "dialer": of_daemon}
            for module, listener in listeners.items():
                system.spawn(module, **waits, **listener.environment)
            for listener in listeners.values():
                await eventually(partial(asks_for_time, listener), timeout=15)
                assert not {"READY=1", "WATCHDOG=1"} & set(listener.lines())
            await migrate(empty_database)
            for listener in listeners.values():
                await is_ready(listener)


async def test_a_main_loop_that_stands_still_stops_the_feeding(make_stack: MakeStack) -> None:
    """Its thread that beats goes on, and so does the process."""
    with supervisor() as listener:
        async with make_stack(**FAST) as system:
            daemon = await system.daemon(**listener.environment, DIALER_CRASH_POINTS="claim.committed=block")
            await is_ready(listener)
            assert not listener.would_kill()
            await system.start(await system.business(), list(numbers(1)))
            await eventually(listener.would_kill, timeout=10)
            await eventually(lambda: daemon.events("BEAT_WITHHELD"))
            assert daemon.popen.poll() is None


async def test_a_thread_that_beats_no_more_stops_the_feeding(make_stack: MakeStack) -> None:
    """The main loop goes on, and tells why."""
    with supervisor() as listener:
        async with make_stack(**FAST) as system:
            daemon = await system.daemon(**listener.environment, DIALER_CRASH_POINTS="beat.sent=block@5")
            await is_ready(listener)
            await eventually(listener.would_kill, timeout=10)
            assert "stands still: keeper" in listener.statuses()
            assert [event["what"] for event in daemon.events("WATCHDOG_WITHHELD")] == ["keeper"]
            assert daemon.popen.poll() is None


async def test_a_control_that_stands_still_stops_the_feeding(make_stack: MakeStack) -> None:
    """And when systemd then aborts it, with the variable of our unit, it writes where it stood.

    Python reads that variable as it starts.
    """
    blocked = {"DIALER_CRASH_POINTS": "start.committed=block", "PYTHONFAULTHANDLER": "1"}
    with supervisor() as listener:
        async with make_stack(INSTANT, "cold", **listener.environment, **blocked) as system:
            await is_ready(listener)
            assert not listener.would_kill()
            starting = asyncio.create_task(system.start(await system.business(), list(numbers(1))))
            await eventually(listener.would_kill, timeout=10)
            assert system.control is not None
            system.control.send(signal.SIGABRT)
            assert await system.control.ends() == -signal.SIGABRT
            assert "crashpoints.py" in system.control.log.read_text()
            await cancelled([starting])


async def test_without_postgres_both_are_fed(make_proxied: MakeProxied) -> None:
    """For longer than a thread could stand still without being noticed."""
    with supervisor() as of_control, supervisor() as of_daemon:
        async with make_proxied(**FAST, **of_control.environment) as p:
            daemon = await p.system.daemon(**of_daemon.environment)
            await is_ready(of_daemon)
            await freeze(p.postgres)
            await eventually(lambda: daemon.events("BEAT_FAILED"))
            enough = {id(one): one.feeds() + 14 for one in (of_daemon, of_control)}
            for listener in (of_daemon, of_control):
                await eventually(partial(has_fed, listener, enough[id(listener)]), timeout=15)
            assert daemon.events("WATCHDOG_WITHHELD") == []


def asks_for_time(listener: Supervisor) -> bool:
    return listener.lines().count("EXTEND_TIMEOUT_USEC=30000000") > 2


def has_fed(listener: Supervisor, times: int) -> bool:
    return listener.feeds() > times
