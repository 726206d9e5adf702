"""Hints to the daemons, said in the background: an answer never waits for Redis."""

import asyncio
from collections import deque

import redis.asyncio as redis

from control.database import Database
from dialer.edges import wakeup
from dialer.edges.wakeup import Hint
from dialer.errors import TryAgainLater
from dialer.telemetry import logger

MOST_WAITING = 1000
LAST_WORDS_SECONDS = 0.5


class Hints:
    """A bounded line of hints. Losing one costs a little time, never anything else."""

    def __init__(self, connection: redis.Redis, database: Database) -> None:
        self._connection = connection
        self._database = database
        self._namespace: str | None = None
        self._waiting: deque[Hint] = deque(maxlen=MOST_WAITING)
        self._something = asyncio.Event()
        self._nothing = asyncio.Event()
        self._nothing.set()

    def say(self, hint: Hint) -> None:
        """Put it in the line; returns at once. Call it after the commit."""
        self._waiting.append(hint)
        self._nothing.clear()
        self._something.set()

    async def run(self) -> None:
        """Publish what is said, in order, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            await self._say_all()
            if not self._waiting:
                self._nothing.set()

    async def flush(self) -> None:
        """Wait a moment for what is still to be said."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._nothing.wait()
        except TimeoutError:
            logger().info("hints left unsaid", count=len(self._waiting))

    async def _say_all(self) -> None:
        try:
            namespace = await self._installation()
        except TryAgainLater:
            self._waiting.clear()
            return
        while self._waiting:
            if not await wakeup.publish(self._connection, namespace, self._waiting.popleft()):
                # Redis is away. When it is back, every listener looks again by itself.
                self._waiting.clear()

    async def _installation(self) -> str:
        if self._namespace is None:
            (found,) = await self._database.rows("installation")
            self._namespace = str(found["id"])
        return self._namespace
