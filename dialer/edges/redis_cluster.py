"""A Redis cluster: one client a node, and a map that says which node keeps which keys.

The client library has a cluster client too. With one node of many away it would close connections to the healthy
ones, read their tables anew at every failure, and make all wait behind one lock: other businesses would feel it.
Here a node that is away costs those whose keys it keeps, and nobody else.

A key that is being moved to another node just now counts as away: it is seconds, and Postgres names slots meanwhile.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import redis.asyncio as redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ClusterDownError, ConnectionError, MovedError, TimeoutError

from dialer.edges.redis_server import AWAY, Script, all_fields, clock_ms, evaluate, eviction_policy, fields
from dialer.telemetry import logger

LEARN_EVERY_SECONDS = 0.25

T = TypeVar("T")
Ask = Callable[[redis.Redis], Awaitable[T]]


class ClusterRedis:
    """See RedisClient. `hosts`: some nodes; the others are found by them."""

    def __init__(self, hosts: Sequence[tuple[str, int]], connect: Callable[[str, int], redis.Redis]) -> None:
        self._connect = connect
        self._seeds = [f"{host}:{port}" for host, port in hosts]
        self._nodes: dict[str, redis.Redis] = {}
        # Hash slot (of the cluster, not a business's) -> "host:port"; empty until it was learned.
        self._owners: list[str] = []
        self._speaker = ""
        self._learning: asyncio.Task[None] | None = None
        self._learned_at = float("-inf")

    # -- what is asked ----------------------------------------------------------------------------------

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        return await self._at(keys[0], lambda node: evaluate(node, script, keys, args))

    async def hgetall(self, key: str) -> dict[str, str]:
        return await self._at(key, lambda node: fields(node, key))

    async def all_fields(self, keys: Sequence[str]) -> dict[str, dict[str, str]]:
        try:
            kept: dict[str, list[str]] = defaultdict(list)
            for key in keys:
                kept[await self._home(key)].append(key)
        except AWAY:
            return {}
        asked = (self._to(home, partial(all_fields, keys=those)) for home, those in kept.items())
        found: dict[str, dict[str, str]] = {}
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if not _failed(answer):
                found.update(answer)  # type: ignore[arg-type] # what failed is left out
        return found

    async def keys(self, pattern: str) -> set[str]:
        async def of(node: redis.Redis) -> set[str]:
            return {key async for key in node.scan_iter(match=pattern, count=1000)}

        found = await self._of_those_that_answer(await self._homes(), of)
        return set().union(*found.values())

    async def clocks(self, keys: Iterable[str] | None = None) -> dict[str, int]:
        try:
            homes = await self._homes() if keys is None else {await self._home(key) for key in keys}
            return await self._of_those_that_answer(homes, clock_ms)
        except AWAY:
            return {}

    def home(self, key: str) -> str:
        return self._owners[_slot(key)] if self._owners else ""

    async def publish(self, channel: str, text: str) -> None:
        # Whichever it is said to, all hear it: one is kept to, so that words keep their order, while it answers.
        homes = sorted(await self._homes())
        if self._speaker not in homes:
            self._speaker = random.choice(homes)  # noqa: S311 - which one matters to nobody
        # Kept aside: while we wait another one who publishes may choose a node of a newer map.
        speaker = self._speaker
        try:
            await self._to(speaker, lambda node: node.publish(channel, text))
        except AWAY:
            self._speaker = speaker = homes[(homes.index(speaker) + 1) % len(homes)]
            await self._to(speaker, lambda node: node.publish(channel, text))

    async def ping(self) -> None:
        await asyncio.gather(*(self._to(home, _is_well) for home in await self._homes()))

    async def eviction_policies(self) -> set[str]:
        told = await asyncio.gather(*(self._to(home, eviction_policy) for home in await self._homes()))
        return set().union(*told)

    async def aclose(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            with suppress(asyncio.CancelledError, *AWAY):
                await self._learning
        for node in self._nodes.values():
            await node.aclose()

    # -- where it is asked ------------------------------------------------------------------------------

    async def _at(self, key: str, ask: Ask[T]) -> T:
        home = await self._home(key)
        try:
            return await self._to(home, ask)
        except MovedError as moved:
            # It has another owner since the map was read, by a fail-over or for good.
            host = moved.host or home.rpartition(":")[0]
            self._owners[moved.slot_id] = f"{host}:{moved.port}"
            self._doubt()
            return await self._to(self._owners[moved.slot_id], ask)

    async def _to(self, home: str, ask: Ask[T]) -> T:
        try:
            return await ask(self._node(home))
        except (ConnectionError, TimeoutError, ClusterDownError, OSError):
            self._doubt()
            raise

    async def _of_those_that_answer(self, homes: Iterable[str], ask: Ask[T]) -> dict[str, T]:
        """Raises what the last one raised when none does."""
        asked = list(homes)
        answers = await asyncio.gather(*(self._to(home, ask) for home in asked), return_exceptions=True)
        found = {home: answer for home, answer in zip(asked, answers, strict=True) if not _failed(answer)}
        if asked and not found:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        return found  # type: ignore[return-value] # what failed is left out

    def _node(self, home: str) -> redis.Redis:
        if home not in self._nodes:
            host, _, port = home.rpartition(":")
            self._nodes[home] = self._connect(host, int(port))
        return self._nodes[home]

    # -- the map ----------------------------------------------------------------------------------------

    async def _homes(self) -> set[str]:
        await self._learn_first()
        if not (homes := set(self._owners) - {""}):
            self._doubt()
            raise ConnectionError("no node keeps anything")
        return homes

    async def _home(self, key: str) -> str:
        await self._learn_first()
        home = self._owners[_slot(key)]
        if not home:
            self._doubt()
            raise ConnectionError("no node keeps this key")
        return home

    async def _learn_first(self) -> None:
        if not self._owners:
            self._doubt(at_once=True)
            assert self._learning is not None  # noqa: S101 - just begun
            await asyncio.shield(self._learning)

    def _doubt(self, *, at_once: bool = False) -> None:
        """Read the map again in the background; those whose node is well need not wait for that."""
        now = time.monotonic()
        is_learning = self._learning is not None and not self._learning.done()
        if not is_learning and (at_once or now - self._learned_at >= LEARN_EVERY_SECONDS):
            self._learned_at = now
            self._learning = asyncio.ensure_future(self._learn())
            self._learning.add_done_callback(_heard)

    async def _learn(self) -> None:
        known = list(dict.fromkeys([*filter(None, self._owners), *self._seeds]))
        random.shuffle(known)
        failed: Exception = ConnectionError("no node of the cluster is known")
        for home in known:
            try:
                ranges = await _asked(self._node(home), "CLUSTER SLOTS")
            except AWAY as error:
                logger().debug("node of the cluster does not answer", node=home, error=type(error).__name__)
                failed = error
                continue
            return await self._take(_owners(ranges, home.rpartition(":")[0]))
        raise failed

    async def _take(self, owners: list[str]) -> None:
        self._owners = owners
        for home in set(self._nodes) - set(owners) - set(self._seeds):
            await self._nodes.pop(home).aclose()


def _owners(ranges: Any, asked: str) -> list[str]:
    """From what CLUSTER SLOTS answers: [first, last, [host, port, …] of the primary, …] for each range."""
    owners = [""] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, (host, port, *_), *_ in ranges:
        # A node that does not know its own address leaves it empty: it is the one that we asked.
        owners[first : last + 1] = [f"{host or asked}:{port}"] * (last + 1 - first)
    return owners


async def _is_well(node: redis.Redis) -> None:
    info = await _asked(node, "CLUSTER INFO")
    state = info.get("cluster_state") if isinstance(info, dict) else None
    if state != "ok":
        raise ClusterDownError(f"cluster_state is {state}")


async def _asked(node: redis.Redis, command: str) -> Any:
    return await node.execute_command(command)  # type: ignore[no-untyped-call]


def _slot(key: str) -> int:
    return key_slot(key.encode())


def _failed(answer: object) -> bool:
    if isinstance(answer, BaseException) and not isinstance(answer, AWAY):
        raise answer
    return isinstance(answer, BaseException)


def _heard(learning: asyncio.Task[None]) -> None:
    """Whoever waits for it hears of its failure; where nobody does, the next command tries again."""
    if not learning.cancelled():
        learning.exception()
