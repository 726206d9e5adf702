"""Keeps the leases: beats from a thread and a connection of its own, and only while the main loop turns.

A process whose main loop hangs must lose its leases, or nobody could go on with its runs; a process whose main
loop is merely busy must not.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping

from dialer.crashpoints import passed
from dialer.edges.heart import Heart
from dialer.errors import DatabaseAway
from dialer.rules.tally import Tally
from dialer.telemetry import fault, logger

STOP_WITHIN_SECONDS = 0.5
SHOW_TALLY_EVERY_BEATS = 5

log = logger()


class Keeper:
    """Start with `start`, end with `stop`.

    Called in the main loop: `beaten` with verdicts and send time, and `drain_asked`, again and again while somebody
    wants this daemon to drain.
    """

    def __init__(
        self,
        heart: Heart,
        epochs: Callable[[], Mapping[int, int]],
        beaten: Callable[[Mapping[tuple[int, int], str], float], None],
        redis_degraded: Callable[[], bool],
        drain_asked: Callable[[], None],
        tally: Tally,
        *,
        interval_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._heart = heart
        self._epochs = epochs
        self._beaten = beaten
        self._redis_degraded = redis_degraded
        self._drain_asked = drain_asked
        self._tally = tally
        self._last_beat_at: float | None = None
        self.rounds = 0
        """How often the thread has gone round, whether it could beat or not."""
        self.failed_beats = 0
        self._interval = interval_seconds
        self._clock = clock
        self._main_loop_turned_at = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to beat. Call in the main loop."""
        self._loop = asyncio.get_running_loop()
        self._main_loop_turned_at = self._clock()
        self._thread.start()

    async def show_progress(self) -> None:
        """Run in the main loop: its turning is what the thread looks for; a thread that died ends us.

        Without beats every lease lapses: better a new process than one that holds nothing.
        """
        while self._thread.is_alive():
            self._main_loop_turned_at = self._clock()
            await asyncio.sleep(self._interval / 4)
        raise RuntimeError("the thread that beats has died")

    async def stop(self) -> None:
        """Stop beating; returns when the thread and its connection are gone, or do not go in time."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join, STOP_WITHIN_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._beats())

    async def _beats(self) -> None:
        away = False
        beats = 0
        next_at = self._clock()
        while not self._stopping.is_set():
            self.rounds += 1
            if self._main_loop_turns():
                away = await self._beat(away)
                self.failed_beats += away
                if beats % SHOW_TALLY_EVERY_BEATS == 0 and not away:
                    await self._show_tally()
                beats += 1
            next_at = max(next_at + self._interval, self._clock())
            await asyncio.to_thread(self._stopping.wait, next_at - self._clock())
        await self._show_tally(last=True)
        await self._heart.close()

    def _main_loop_turns(self) -> bool:
        stuck = self._clock() - self._main_loop_turned_at
        if stuck > 2 * self._interval:
            log.warning("BEAT_WITHHELD", main_loop_stuck_seconds=round(stuck, 3))
            return False
        return True

    async def _beat(self, away: bool) -> bool:
        """One beat; returns whether the database is away, which is said once."""
        sent_at = self._clock()
        epochs = dict(self._epochs())
        try:
            passed("beat.sent")
            beat = await self._heart.beat(epochs, self._redis_degraded())
        except DatabaseAway as error:
            if not away:
                log.warning("BEAT_FAILED", error=str(error))
            return True
        except Exception as error:  # noqa: BLE001
            # A fault of ours must be seen, and must not cost every lease: the next beat gets a new connection.
            fault("beat", error)
            self._heart.drop()
            return True
        passed("beat.committed")
        self._count_beat()
        if away:
            log.info("BEAT_BACK")
        log.debug("beat", runs=len(epochs), seconds=round(self._clock() - sent_at, 4))
        self._loop.call_soon_threadsafe(self._beaten, beat.verdicts, sent_at)
        return False

    def _count_beat(self) -> None:
        now = self._clock()
        if self._last_beat_at is not None:
            self._tally.beats.observe(now - self._last_beat_at)
        self._last_beat_at = now

    async def _show_tally(self, *, last: bool = False) -> None:
        """After a beat, and done before the next is due: no lease waits for figures. Those that fail come again."""
        try:
            if last:
                await self._heart.show_last_tally(self._tally.snapshot(), self._interval / 2)
            elif await self._heart.show_tally(self._tally.snapshot(), self._interval / 2):
                self._loop.call_soon_threadsafe(self._drain_asked)
        except DatabaseAway as error:
            log.debug("tally not shown", error=str(error))
        except Exception as error:  # noqa: BLE001 - a fault in counting must be seen, and must cost nothing else
            fault("tally", error)
