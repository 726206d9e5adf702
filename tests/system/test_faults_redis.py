"""Redis away, lying or lost during a run: dialing goes on, never above the limit, and all is well afterwards."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.waiting import eventually
from tests.system.conftest import MakeProxied
from tests.system.proxied import CHATTY, SETTLE_SOON, OwnServers, Proxied, proxied
from tests.system.quiet import slots_are_free
from tests.system.spoiling import Spoil, freeze, refuse
from tests.system.stack import Process, numbers

LIMIT = 3


@asynccontextmanager
async def repeated(act: Callable[[], Awaitable[object]], every: float) -> AsyncIterator[list[float]]:
    """Do it again and again while inside; yields the times of each."""
    times: list[float] = []

    async def again() -> None:
        while True:
            await act()
            times.append(time.monotonic())
            await asyncio.sleep(every)

    task = asyncio.create_task(again())
    try:
        yield times
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def well_in_the_end(p: Proxied, run: int, jobs: int, redis: Any) -> None:
    shown = await p.system.ended(run)
    assert (shown["status"], shown["completed"]) == ("completed", jobs)
    await slots_are_free(p.system, redis)
    await p.system.check(run, limit=LIMIT)


async def noticed(p: Proxied, daemon: Process) -> None:
    """It is in the log, and in the table of daemons."""
    await eventually(lambda: daemon.events("REDIS_AWAY"))
    await eventually(p.degraded)


async def over_it(p: Proxied, daemon: Process) -> None:
    async def none() -> bool:
        return await p.degraded() == 0

    await eventually(lambda: daemon.events("REDIS_BACK"))
    await eventually(none)


@pytest.mark.parametrize("spoil", [refuse, freeze], ids=lambda s: str(s.__name__))
async def test_without_redis_dialing_goes_on_and_it_shows(
    make_proxied: MakeProxied, redis: Any, spoil: Spoil
) -> None:
    async with make_proxied() as p:
        daemons = [await p.system.daemon(), await p.system.daemon()]
        business = await p.system.business(limit=LIMIT)
        phones = list(numbers(60))
        runs = [await p.system.start(business, phones[:30]), await p.system.start(business, phones[30:])]
        await p.dials_on()
        await spoil(p.redis)
        for daemon in daemons:
            await noticed(p, daemon)
        await p.dials_on(6, within=10)
        await p.redis.pass_all()
        for daemon in daemons:
            await over_it(p, daemon)
        for run in runs:
            await well_in_the_end(p, run, 30, redis)


async def test_connections_to_redis_that_break_again_and_again_cost_little(
    make_proxied: MakeProxied, redis: Any
) -> None:
    async with make_proxied() as p:
        await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(40)))
        await p.dials_on()

        async def cut() -> None:
            p.redis.cut()

        async with repeated(cut, every=0.05) as cuts:
            await p.dials_on(8, within=10)
        assert len(cuts) > 5
        await well_in_the_end(p, run, 40, redis)


async def test_connections_to_redis_that_are_dead_without_a_word_are_found_out(
    make_proxied: MakeProxied, redis: Any
) -> None:
    """Nothing breaks them; a daemon that hears nothing any more asks, and then subscribes anew."""
    async with make_proxied() as p:
        await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(90)))
        await p.dials_on()
        p.redis.forget()
        # By comparisons alone two calls are made in a second, with hints twenty.
        await p.dials_on(60, within=12)
        await well_in_the_end(p, run, 90, redis)


async def test_redis_that_loses_everything_again_and_again_is_rebuilt(
    make_proxied: MakeProxied, redis: Any
) -> None:
    async with make_proxied() as p:
        daemon = await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(40)))
        await p.dials_on()
        async with repeated(redis.flushdb, every=0.1) as losses:
            await p.dials_on(20, within=10)
        assert len(losses) > 3
        rebuilt = [e for e in daemon.events("SLOTS_RECONCILED") if e["rebuilt"]]
        assert len(rebuilt) >= len(losses) / 2
        assert daemon.events("REDIS_AWAY") == []
        await well_in_the_end(p, run, 40, redis)


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_a_redis_of_its_own_that_is_killed_or_paused(killable: OwnServers, tmp_path: Path, how: str) -> None:
    async with proxied(killable.database, killable.redis_url, tmp_path) as p:
        daemon = await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(40)))
        await p.dials_on()
        if how == "killed":
            before = killable.pid("valkey")
            killable.send("valkey", signal.SIGKILL)
            await p.dials_on(6, within=10)
            assert killable.pid("valkey") != before
        else:
            killable.send("valkey", signal.SIGSTOP)
            await noticed(p, daemon)
            await p.dials_on(6, within=10)
            killable.send("valkey", signal.SIGCONT)
            await over_it(p, daemon)
        async with Redis.from_url(killable.redis_url) as redis:
            await well_in_the_end(p, run, 40, redis)


async def held(redis: Any) -> tuple[str, list[bytes]]:
    """The key of the one business's slots, and the slots in it."""
    [key] = await redis.keys("dialer:*:held")
    return key, [slot for slot in await redis.hkeys(key) if slot != b"generation"]


async def test_slots_shown_free_that_are_taken_are_refused_without_a_hot_loop(
    make_proxied: MakeProxied, redis: Any
) -> None:
    async with make_proxied(LOG_LEVEL="DEBUG") as p:
        sim = p.system.sim
        sim.everybody("stuck")
        business, phones = await p.system.business(limit=LIMIT), list(numbers(24))
        await p.system.daemon()
        runs = [await p.system.start(business, phones[:12])]
        await sim.wait_for(lambda: sim.ledger.live_now == LIMIT)
        # The other daemon has no live call of its own, so all that it knows of the slots is what Redis shows.
        fooled = await p.system.daemon()
        runs.append(await p.system.start(business, phones[12:]))
        await eventually(lambda: fooled.events("slots turn"))
        lies = 0

        async def lie() -> None:
            nonlocal lies
            key, slots = await held(redis)
            lies += int(await redis.hdel(key, *slots)) if slots else 0

        began, turns_before = time.monotonic(), len(fooled.events("slots turn"))
        async with repeated(lie, every=0.05):
            await eventually(lambda: lies >= 20 * LIMIT, timeout=15)
        seconds, turns = time.monotonic() - began, len(fooled.events("slots turn")) - turns_before
        assert sim.ledger.live_now == p.creates == LIMIT
        refused = sum(e["refused"] for e in fooled.events("intents"))
        assert LIMIT <= refused <= lies + LIMIT, (refused, lies)
        assert turns <= 2 * lies + 10 * seconds, (turns, lies, seconds)
        sim.everybody("answered")
        for call in list(sim.exchange.calls.values()):
            sim.exchange.callee_hangs_up(call)
        for run in runs:
            await well_in_the_end(p, run, 12, redis)


async def test_slots_shown_taken_that_are_free_are_found_within_seconds(
    make_proxied: MakeProxied, redis: Any
) -> None:
    async with make_proxied(CHATTY, **SETTLE_SOON) as p:
        await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(30)))
        await p.dials_on()
        key, _ = await held(redis)
        for slot in range(1, LIMIT + 1):
            await redis.hset(key, str(slot), f"00000000-0000-4000-8000-{slot:012d}|1|0")
        # A comparison every 0.8 s here.
        await p.dials_on(10, within=6)
        await well_in_the_end(p, run, 30, redis)
