"""Tells the supervisor how this process is, and feeds its watchdog only while all that must move on does.

It runs in the main loop, so a main loop that stands still feeds nothing. What else must move on is watched by a
count: of rounds of a thread, of turns of a loop. That a database is away is no standstill: whoever waits for it goes
round all the same, and to end such a process would help nobody.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dialer.config import Settings
from dialer.edges.supervisor import Supervisor
from dialer.rhythm import Rhythm
from dialer.telemetry import logger

FEED_EVERY_SECONDS = 5.0
FEEDS_IN_A_WATCHDOGS_TIME = 4
# A start may wait for Postgres or a migration for hours. Until it is done the supervisor waits on, from word to word.
START_GOES_ON_MICROSECONDS = 30_000_000

log = logger()


@dataclass(slots=True)
class _Watched:
    name: str
    count: Callable[[], int]
    at_most_seconds: float
    last: int
    moved_at: float

    def stands_still(self, now: float) -> bool:
        if (count := self.count()) != self.last:
            self.last, self.moved_at = count, now
        return now - self.moved_at > self.at_most_seconds


class Liveness:
    """`run` in the main loop from the start on; `ready` when it serves, `stopping` when it was told to stop.

    The clock must stand still while the machine is suspended: nothing could move on meanwhile.
    """

    def __init__(self, settings: Settings, waits_for: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._supervisor = Supervisor(settings)
        self._every = min(
            (self._supervisor.watchdog_seconds or 60) / FEEDS_IN_A_WATCHDOGS_TIME, FEED_EVERY_SECONDS
        )
        self._clock = clock
        self._looked_at = clock()
        self._describe: Callable[[], str] = lambda: f"waits for {waits_for}"
        self._is_starting = True
        self._watched: list[_Watched] = []
        self._withheld = False

    async def run(self) -> None:
        """For ever, until cancelled."""
        await Rhythm("feed", self._every, self.feed).run()

    def watch(self, name: str, count: Callable[[], int], at_most_seconds: float) -> None:
        """From now on the count must change within every so many seconds."""
        self._watched.append(_Watched(name, count, at_most_seconds, count(), self._clock()))

    def ready(self, describe: Callable[[], str]) -> None:
        """It serves. `describe`: what to show of it, asked each time."""
        self._is_starting = False
        self._describe = describe
        self._supervisor.tell("READY=1", f"STATUS={describe()}")

    def stopping(self) -> None:
        """It was told to stop, and does."""
        self._describe = lambda: "drains"
        self._supervisor.tell("STOPPING=1", "STATUS=drains")

    async def feed(self) -> None:
        """Once: give a sign of life, if there is life in all that is watched."""
        now = self._clock()
        if now - self._looked_at > 2 * self._every:
            # The whole process stood still, or this loop did: the others' time was not witnessed.
            for one in self._watched:
                one.moved_at = now
        self._looked_at = now
        still = [one for one in self._watched if one.stands_still(now)]
        self._log(still, now)
        if still:
            self._supervisor.tell(f"STATUS=stands still: {', '.join(one.name for one in still)}")
        elif self._is_starting:
            self._supervisor.tell(
                f"EXTEND_TIMEOUT_USEC={START_GOES_ON_MICROSECONDS}", f"STATUS={self._describe()}"
            )
        else:
            self._supervisor.tell("WATCHDOG=1", f"STATUS={self._describe()}")

    def _log(self, still: list[_Watched], now: float) -> None:
        """Once, when something begins to stand still, and when all moves again."""
        if still and not self._withheld:
            for one in still:
                log.error("WATCHDOG_WITHHELD", what=one.name, seconds=round(now - one.moved_at, 3))
        elif self._withheld and not still:
            log.info("WATCHDOG_FED_AGAIN")
        self._withheld = bool(still)
