"""Redis, as a person looks at it: `dialer doctor`. It only reads, and is in no hurry."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import RedisError, ResponseError

from dialer.edges import wakeup
from dialer.errors import RedisAway

T = TypeVar("T")


class RedisView:
    """Open it with the URL; close it with `close`. Every method raises RedisAway."""

    def __init__(self, redis_url: str) -> None:
        self._redis = wakeup.client(redis_url)

    async def ping(self) -> None:
        """Returns when it answers."""
        await self._asked(self._redis.ping)

    async def policies(self) -> set[str]:
        """`maxmemory-policy` of every server; none where that may not be asked, as of hosted ones."""
        try:
            found = await self._asked(lambda: self._redis.config_get("maxmemory-policy"))
        except _MayNotBeAsked:
            return set()
        return {str(policy) for policy in found.values()}

    async def clock(self) -> float:
        """Its clock: seconds since 1970."""
        seconds, micros = await self._asked(self._redis.time)
        return int(seconds) + int(micros) / 1e6

    async def close(self) -> None:
        await self._redis.aclose()

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            return await ask()
        except ResponseError as refused:
            raise _MayNotBeAsked(type(refused).__name__) from refused
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAway(type(error).__name__) from error


class _MayNotBeAsked(RedisAway):
    """It answered that it does not answer this."""
