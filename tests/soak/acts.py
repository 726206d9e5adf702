"""What breaks servers, ways and processes. An act that is not possible just now answers False."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from tests.soak.places import Ways
from tests.soak.world import World
from tests.system.stack import Process

# The keeper of the servers gives up on one that dies more than three times a minute.
BETWEEN_SERVER_KILLS_SECONDS = 25.0
MOST_DAEMONS = 3
ENDS_WITHIN_SECONDS = 16.0
_NOBODY = "00000000-0000-4000-8000-0000000000{:02d}|1|0"


@dataclass(frozen=True)
class Act:
    """Something that happens. `do` returns when it is over."""

    name: str
    weight: int
    do: Callable[[World], Awaitable[bool]]


# -- ways -------------------------------------------------------------------------------------------------


def spoiled(name: str, how: str, weight: int, shortest: float, longest: float) -> Act:
    """A way is broken for a while."""

    async def do(world: World) -> bool:
        if name in world.busy:
            return False
        way, seconds = world.ways[name], world.chance.uniform(shortest, longest)
        world.busy.add(name)
        try:
            await _spoil(way, how, world)
            await asyncio.sleep(seconds)
        finally:
            await way.pass_all()
            world.busy.discard(name)
        return True

    return Act(f"{name} {how}", weight, do)


async def _spoil(way: Ways, how: str, world: World) -> None:
    match how:
        case "cut":
            way.cut()
        case "refused":
            await way.refuse()
        case "frozen":
            way.freeze()
        case "swallowed":
            way.swallow()
        case "answers swallowed":
            way.swallow(answers_only=True)
        case "slow":
            way.delay(world.chance.uniform(0.01, 0.08))


def forgotten(name: str) -> Act:
    """The connections there are die without a word; new ones pass."""

    async def do(world: World) -> bool:
        world.ways[name].forget()
        return True

    return Act(f"{name} forgotten", 1, do)


# -- servers ----------------------------------------------------------------------------------------------


def server_killed(server: str, number: signal.Signals, weight: int) -> Act:
    async def do(world: World) -> bool:
        if server in world.busy or time.monotonic() - world.server_killed_at < BETWEEN_SERVER_KILLS_SECONDS:
            return False
        world.server_killed_at = time.monotonic()
        if server == "valkey":
            world.redis.kill()
        else:
            world.servers.send(server, number)
        return True

    return Act(f"{server} {number.name}", weight, do)


async def pooler_killed(world: World) -> bool:
    """Where there is one."""
    if world.pooler is None or "pooler" in world.busy:
        return False
    world.busy.add("pooler")
    try:
        world.pooler.kill()
        await asyncio.sleep(world.chance.choice([0.0, 1.0]))
        world.pooler.start()
    finally:
        world.busy.discard("pooler")
    return True


async def valkey_paused(world: World) -> bool:
    if "valkey" in world.busy:
        return False
    world.busy.add("valkey")
    try:
        go_on = world.redis.pause()
        await asyncio.sleep(world.chance.uniform(0.3, 2.0))
        go_on()
    finally:
        world.busy.discard("valkey")
    return True


async def redis_flushed(world: World) -> bool:
    if "valkey" in world.busy:
        return False
    async with _some_redis(world) as redis:
        await redis.flushall()
    return True


@asynccontextmanager
async def _some_redis(world: World) -> AsyncIterator[Redis]:
    clients = world.redis.clients()
    try:
        yield world.chance.choice(clients)
    finally:
        for client in clients:
            await client.aclose()


async def redis_lies(world: World) -> bool:
    """Slots that are taken are shown free, or the other way round."""
    if "valkey" in world.busy:
        return False
    free = world.chance.random() < 0.5
    async with _some_redis(world) as redis:
        for _ in range(world.chance.randrange(1, 6)):
            for key in await redis.keys("dialer:*:held"):
                slots = [slot for slot in await redis.hkeys(key) if slot != b"generation"]
                if free and slots:
                    await redis.hdel(key, *slots)
                elif not free:
                    await redis.hset(key, mapping={str(n): _NOBODY.format(n) for n in (1, 2)})
            await asyncio.sleep(0.1)
    return True


# -- processes --------------------------------------------------------------------------------------------


def daemon_ended(number: signal.Signals, weight: int) -> Act:
    """One ends by a signal; another comes, at once or later."""

    async def do(world: World) -> bool:
        if not world.daemons:
            return False
        daemon = world.daemons.pop(world.chance.randrange(len(world.daemons)))
        daemon.send(number)
        await asyncio.sleep(world.chance.choice([0.0, 0.0, 1.0, 4.0]))
        if len(world.daemons) < MOST_DAEMONS:
            world.spawn_daemon()
        await _must_end(world, daemon)
        return True

    return Act(f"daemon {number.name}", weight, do)


async def _must_end(world: World, process: Process) -> None:
    """It was told to. Ten seconds is the promise; it may have been frozen meanwhile."""
    try:
        await process.ends(timeout=ENDS_WITHIN_SECONDS)
    except TimeoutError:
        world.wrong.append(f"{process.name} was told to end, and did not")
        process.close()


async def daemon_frozen(world: World) -> bool:
    if not world.daemons:
        return False
    daemon = world.chance.choice(world.daemons)
    daemon.send(signal.SIGSTOP)
    await asyncio.sleep(world.chance.choice([0.5, 1.0, 2.0, 5.0]))
    daemon.send(signal.SIGCONT)
    return True


async def daemon_added(world: World) -> bool:
    if len(world.daemons) >= MOST_DAEMONS:
        return False
    world.spawn_daemon()
    return True


def control_ended(number: signal.Signals, weight: int) -> Act:
    async def do(world: World) -> bool:
        which = world.chance.randrange(2)
        if f"control {which}" in world.busy:
            return False
        world.busy.add(f"control {which}")
        try:
            world.controls[which].send(number)
            await _must_end(world, world.controls[which])
            world.spawn_control(which)
        finally:
            world.busy.discard(f"control {which}")
        return True

    return Act(f"control {number.name}", weight, do)


async def control_frozen(world: World) -> bool:
    which = world.chance.randrange(2)
    if f"control {which}" in world.busy:
        return False
    control = world.controls[which]
    control.send(signal.SIGSTOP)
    await asyncio.sleep(world.chance.uniform(0.3, 2.0))
    control.send(signal.SIGCONT)
    return True


ACTS = (
    spoiled("postgres", "cut", 3, 0.0, 0.1),
    spoiled("postgres", "refused", 2, 0.2, 3.0),
    spoiled("postgres", "frozen", 2, 0.2, 2.0),
    spoiled("postgres", "swallowed", 2, 0.2, 1.5),
    spoiled("postgres", "answers swallowed", 3, 0.05, 1.0),
    spoiled("postgres", "slow", 2, 0.5, 2.0),
    spoiled("redis", "cut", 3, 0.0, 0.1),
    spoiled("redis", "refused", 2, 0.2, 3.0),
    spoiled("redis", "frozen", 2, 0.2, 3.0),
    spoiled("redis", "answers swallowed", 2, 0.05, 1.0),
    spoiled("redis", "slow", 2, 0.5, 2.0),
    spoiled("carrier", "cut", 3, 0.0, 0.1),
    spoiled("carrier", "refused", 2, 0.2, 2.0),
    spoiled("carrier", "frozen", 2, 0.2, 1.0),
    spoiled("carrier", "swallowed", 1, 0.1, 0.5),
    spoiled("carrier", "answers swallowed", 1, 0.1, 0.5),
    spoiled("carrier", "slow", 2, 0.5, 2.0),
    *(forgotten(name) for name in ("postgres", "redis", "carrier")),
    server_killed("postgres", signal.SIGKILL, 2),
    server_killed("postgres", signal.SIGQUIT, 2),
    server_killed("valkey", signal.SIGKILL, 2),
    Act("valkey paused", 2, valkey_paused),
    Act("pooler SIGKILL", 2, pooler_killed),
    Act("redis flushed", 3, redis_flushed),
    Act("redis lies", 3, redis_lies),
    daemon_ended(signal.SIGKILL, 4),
    daemon_ended(signal.SIGTERM, 3),
    Act("daemon frozen", 3, daemon_frozen),
    Act("daemon added", 2, daemon_added),
    control_ended(signal.SIGKILL, 3),
    control_ended(signal.SIGTERM, 1),
    Act("control frozen", 2, control_frozen),
)
