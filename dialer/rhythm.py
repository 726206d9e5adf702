"""How every loop repeats: with jitter, woken early when there is reason, going on when a dependency is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from dialer.errors import DatabaseAway, TryAgainLater
from dialer.telemetry import fault, logger

T = TypeVar("T")

JITTER = 0.2
ASK_AGAIN_SECONDS = 0.5


class Rhythm:
    """Do something again and again. `wake` makes the next time now; a failed dependency makes it wait its turn."""

    def __init__(self, name: str, every_seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._every = every_seconds
        self._act = act
        self._woken = asyncio.Event()
        self._away = False
        self.turns = 0
        """How often it has acted, well or not: one that stands still in its act counts no more."""

    def wake(self) -> None:
        """Act as soon as possible."""
        self._woken.set()

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self._act()
                self._say(away=None)
            except TryAgainLater as error:
                self._say(away=error)
            except Exception as error:  # noqa: BLE001
                # A fault of ours, in one look of one loop: it must be seen, and must not end the others.
                fault(self._name, error)
            self.turns += 1
            heed_cancellation()
            pause = self._every * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads daemons apart
            await wait_or(self._woken, pause)

    def _say(self, away: TryAgainLater | None) -> None:
        """Log a dependency's going and coming once, not at every turn."""
        if away is not None and not self._away:
            logger().warning("DEPENDENCY_AWAY", loop=self._name, error=str(away))
        elif away is None and self._away:
            logger().info("DEPENDENCY_BACK", loop=self._name)
        self._away = away is not None


class Tasks:
    """Tasks that somebody began and does not wait for: kept until they end, and their faults are seen."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    def start(self, work: Awaitable[T]) -> "asyncio.Future[T]":
        """Begin at once."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, within: float) -> None:
        """End all; wait for them at most so many seconds."""
        await cancelled(list(self._running), within)

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self._running.discard(task)
        report(task)


def heed_cancellation() -> None:
    """End this task if it was told to and the word was lost on the way. For loops that have no other end.

    The client of Redis waits by asyncio.wait_for, which before Python 3.12 may swallow a cancellation.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def report(task: "asyncio.Future[Any]") -> None:
    """When it has ended: a fault in our own code must be seen, and must not stop the others."""
    if not task.cancelled() and (error := task.exception()) is not None:
        fault("task", error)


async def wait_or(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for the event, at most so long (None: for ever). Returns whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until Postgres answers."""
    while True:
        try:
            return await ask()
        except DatabaseAway as error:
            logger().warning("DATABASE_AWAY", error=str(error))
            await asyncio.sleep(ASK_AGAIN_SECONDS)


async def cancelled(tasks: Sequence["asyncio.Future[Any]"], within: float | None = None) -> bool:
    """Cancel these tasks and wait until they have ended, at most `within` seconds. Returns whether all have.

    One that waits for a Postgres that does not answer takes its time: the client asks the server to cancel, too.
    """
    for task in tasks:
        task.cancel()
    ended, left = await asyncio.wait(tasks, timeout=within) if tasks else (set(), set())
    for task in ended:
        if not task.cancelled():
            task.exception()  # seen, or the loop would report it
    return not left
