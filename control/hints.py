"""Hints to the daemons, said in the background: an answer never waits for Redis."""

import asyncio
from collections import deque
from collections.abc import Callable

from control.database import Database
from dialer.edges import wakeup
from dialer.edges.redis_client import RedisClient
from dialer.edges.wakeup import Hint
from dialer.errors import TryAgainLater
from dialer.telemetry import fault, logger

MOST_WAITING = 1000
LAST_WORDS_SECONDS = 0.5


class Installation:
    """The namespace of this installation in Redis: asked of the database once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name: str | None = None

    async def name(self) -> str:
        """Raises DatabaseAway."""
        if self._name is None:
            (found,) = await self._database.rows("installation")
            self._name = str(found["id"])
        return self._name


class Hints:
    """A bounded line of hints. Losing one costs a little time, never anything else.

    `overhear` is told of each at once, before Redis is asked.
    """

    def __init__(
        self, connection: RedisClient, installation: Installation, overhear: Callable[[Hint], None]
    ) -> None:
        self._connection = connection
        self._installation = installation
        self._overhear = overhear
        self._waiting: deque[Hint] = deque(maxlen=MOST_WAITING)
        self._something = asyncio.Event()
        self._nothing = asyncio.Event()
        self._nothing.set()

    def say(self, hint: Hint) -> None:
        """Put it in the line; returns at once. Call it after the commit."""
        self._overhear(hint)
        self._waiting.append(hint)
        self._nothing.clear()
        self._something.set()

    async def run(self) -> None:
        """Publish what is said, in order, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            try:
                await self._say_all()
            except Exception as error:  # noqa: BLE001 - it must be seen, and must not silence all that come later
                fault("hints", error)
                self._waiting.clear()
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
            namespace = await self._installation.name()
        except TryAgainLater:
            self._waiting.clear()
            return
        while self._waiting:
            if not await wakeup.publish(self._connection, namespace, self._waiting.popleft()):
                # Redis is away. When it is back, every listener looks again by itself.
                self._waiting.clear()
