"""One Redis server: what is asked of it, by itself or as a node of a cluster."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import NoScriptError, RedisError, ResponseError

# Whatever a client raises when Redis did not do what it was asked.
AWAY = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Script:
    """A script in Lua, known to servers by the hash of its text."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


class OneRedis:
    """One server: the one of the URL, or the master of the moment that Sentinels name."""

    def __init__(self, client: redis.Redis, sentinel: Sentinel | None = None) -> None:
        self.client = client
        self._sentinel = sentinel

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        return await evaluate(self.client, script, keys, args)

    async def hgetall(self, key: str) -> dict[str, str]:
        return await fields(self.client, key)

    async def all_fields(self, keys: Sequence[str]) -> dict[str, dict[str, str]]:
        try:
            return await all_fields(self.client, keys)
        except AWAY:
            return {}

    async def keys(self, pattern: str) -> set[str]:
        return {key async for key in self.client.scan_iter(match=pattern, count=1000)}

    async def clocks(self, keys: Iterable[str] | None = None) -> dict[str, int]:  # noqa: ARG002 - one server, one clock
        try:
            return {"": await clock_ms(self.client)}
        except AWAY:
            return {}

    def home(self, key: str) -> str:  # noqa: ARG002
        return ""

    async def publish(self, channel: str, text: str) -> None:
        await self.client.publish(channel, text)

    async def ping(self) -> None:
        await self.client.ping()

    async def eviction_policies(self) -> set[str]:
        return await eviction_policy(self.client)

    async def aclose(self) -> None:
        await self.client.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()


async def evaluate(client: redis.Redis, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
    """By its hash; a server that does not know it yet (restarted, promoted, new) learns it with this call."""
    ask: Callable[..., Awaitable[Any]] = client.evalsha
    try:
        return await ask(script.sha, len(keys), *keys, *args)
    except NoScriptError:
        ask = client.eval
        return await ask(script.text, len(keys), *keys, *args)


async def fields(client: redis.Redis, key: str) -> dict[str, str]:
    ask: Callable[..., Awaitable[Any]] = client.hgetall
    return dict(await ask(key))


async def all_fields(client: redis.Redis, keys: Sequence[str]) -> dict[str, dict[str, str]]:
    asking = client.pipeline(transaction=False)
    for key in keys:
        asking.hgetall(key)
    return dict(zip(keys, await asking.execute(), strict=True))


async def clock_ms(client: redis.Redis) -> int:
    seconds, micros = await client.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def eviction_policy(client: redis.Redis) -> set[str]:
    try:
        found = await client.config_get("maxmemory-policy")
    except ResponseError:
        return set()  # hosted ones forbid the question
    return {str(found.get("maxmemory-policy"))}
