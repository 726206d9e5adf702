"""Redis, as a person looks at it: `dialer doctor`. It only reads, and is in no hurry."""

from collections.abc import Awaitable
from typing import TypeVar

from dialer.edges.redis_client import AWAY, open_redis
from dialer.errors import RedisAway

T = TypeVar("T")

ANSWER_WITHIN_SECONDS = 0.5


class RedisView:
    """Open it with the URL; close it with `close`. Every method raises RedisAway."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url, ANSWER_WITHIN_SECONDS)

    async def ping(self) -> None:
        """Returns when all of it can be used."""
        await _asked(self._redis.ping())

    async def policies(self) -> set[str]:
        """`maxmemory-policy` of every server; none where that may not be asked, as of hosted ones."""
        return await _asked(self._redis.eviction_policies())

    async def clock(self) -> float:
        """Its clock, seconds since 1970; of several servers, the one that is most behind."""
        clocks = await _asked(self._redis.clocks())
        if not clocks:
            raise RedisAway("no clock")
        return min(clocks.values()) / 1000

    async def close(self) -> None:
        await self._redis.aclose()


async def _asked(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except AWAY as error:
        raise RedisAway(type(error).__name__) from error
