"""Connections of a pool, lent for a statement; a few that came back in good order are kept at hand.

The pool's own way costs two tasks and a timer each time, which is most of what a short statement costs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg

KEEP = 4
RETURN_WITHIN_SECONDS = 0.5

_ENDED = (asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError, OSError)


class NoneFree(TimeoutError):
    """No connection was to be had in time: all are at work, or none can be opened."""


class Lender:
    """Over one pool. Close it before the pool is closed: the pool waits for those that are at hand."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, keep: int = KEEP) -> None:
        self._pool = pool
        self._keep = keep
        self._at_hand: list[Any] = []
        # Grows when those that are lent are not to be kept when they come back.
        self._age = 0
        self._asking = 0

    @asynccontextmanager
    async def connection(self, within_seconds: float) -> AsyncIterator[Any]:
        """A connection, bare. Raises NoneFree, and what connecting raises."""
        connection = self._pick() or await self._ask(within_seconds)
        age = self._age
        try:
            yield connection
        except BaseException:
            # Something may still be under way on it: the pool knows how to find out. What was raised goes on,
            # whatever comes of that: a cancellation above all.
            await self._give_back(connection)
            raise
        if age != self._age or self._asking or len(self._at_hand) >= self._keep or not _is_open(connection):
            await self._give_back(connection)
        else:
            self._at_hand.append(connection)

    async def warm(self, act: Callable[[Any], Awaitable[object]], within_seconds: float) -> None:
        """Open as many as are kept and do this on each, so that the first who need them find them warm.

        Raises what `connection` raises, and what `act` does.
        """
        async with AsyncExitStack() as stack:
            lent = [await stack.enter_async_context(self.connection(within_seconds)) for _ in range(self._keep)]
            # Side by side: a pooler would do it on one connection of its own, again and again.
            done = await asyncio.gather(*map(act, lent), return_exceptions=True)
            for one in done:
                if isinstance(one, BaseException):
                    raise one

    async def replace_all(self) -> None:
        """No connection of now is used again; those that are lent end when they come back."""
        with suppress(asyncpg.InterfaceError):  # closed meanwhile
            await self._pool.expire_connections()
        await self.close()

    async def close(self) -> None:
        """Give all that are at hand to the pool; none is kept that comes back later."""
        self._age += 1
        left, self._at_hand = self._at_hand, []
        # Side by side: when they are dead, each is waited for in vain.
        await asyncio.gather(*map(self._give_back, left))

    async def _give_back(self, connection: Any) -> None:
        # One that cannot be given back in good order the pool has ended itself, and often just now: it says so in
        # as many ways as there are moments to lose a connection in.
        with suppress(*_ENDED):
            await self._pool.release(connection, timeout=RETURN_WITHIN_SECONDS)

    def _pick(self) -> Any:
        while self._at_hand:
            # The one that was used last: its memory is warm, on both sides.
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            # It ended while nobody used it: the pool has it back already.
        return None

    async def _ask(self, within_seconds: float) -> Any:
        self._asking += 1
        try:
            async with asyncio.timeout(within_seconds):
                return await self._pool.acquire()
        except TimeoutError as error:
            raise NoneFree from error
        finally:
            self._asking -= 1


def _is_open(connection: Any) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # the pool took it back when it broke
