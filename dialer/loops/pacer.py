"""Gives out the moments at which creates may be sent: first come, first served, at the account's rate."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from dialer.edges.pace import Pace
from dialer.errors import DatabaseAway, RedisAway
from dialer.rules.pacing import LocalPace

# Permits lie at most this far ahead: intents are written for what is sent at once, not for a queue.
HORIZON_SECONDS = 0.15


class Pacer:
    """`pace` None: no limit on the rate."""

    def __init__(
        self, pace: Pace | None, live_daemons: Callable[[], Awaitable[int]], clock: Callable[[], float]
    ) -> None:
        self._pace = pace
        self._live_daemons = live_daemons
        self._clock = clock
        self._local = LocalPace()
        self._daemons = 1
        self._line = asyncio.Lock()
        self._overdue_line = asyncio.Lock()
        self._overdue = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @property
    def is_unlimited(self) -> bool:
        """Is there no rate to keep?"""
        return self._pace is None

    def is_expired(self, moment: float) -> bool:
        """Was a permit kept for so long that using it now would crowd the next ones?"""
        return self._pace is not None and self._clock() > moment + min(self._pace.interval_seconds, 1.0)

    async def permits(self, wanted: int, committed: bool = False) -> list[float]:
        """Between 1 and `wanted` moments, ascending; waits until the first is near.

        `committed`: an intent waits for it, whose permit expired. It comes before all that have none yet: the line
        may be minutes long, and an intent must be sent soon or not at all.
        """
        if self._pace is None:
            return [self._clock()] * wanted
        if not committed:
            async with self._line:
                return await self._near(self._pace, wanted, self._calm)
        self._overdue += 1
        self._calm.clear()
        try:
            async with self._overdue_line:
                return await self._near(self._pace, wanted, None)
        finally:
            self._overdue -= 1
            if not self._overdue:
                self._calm.set()

    async def _near(self, pace: Pace, wanted: int, behind: asyncio.Event | None) -> list[float]:
        while True:
            if behind is not None:
                await behind.wait()
            try:
                got = await pace.ask(wanted, HORIZON_SECONDS)
            except RedisAway:
                return [await self._by_ourselves()]
            if got.count:
                first = self._clock() + got.wait_seconds
                return [first + i * pace.interval_seconds for i in range(got.count)]
            await asyncio.sleep(got.wait_seconds)

    async def _by_ourselves(self) -> float:
        assert self._pace is not None  # noqa: S101 - narrows the type; only called with a rate
        # With Postgres away as well nothing can be dialed: then as many as last time will do.
        with contextlib.suppress(DatabaseAway):
            self._daemons = await self._live_daemons()
        moment = self._local.take(self._clock(), 1.0 / self._pace.interval_seconds, self._daemons)
        await asyncio.sleep(max(moment - self._clock() - HORIZON_SECONDS, 0.0))
        return moment
