"""Stops runs that nobody dials any more: stale ones, and at the start those that are too old to be resumed."""

from collections.abc import Callable
from dataclasses import dataclass

from control.database import Database, Row
from control.hints import Hints
from dialer.edges.clock import boot_seconds
from dialer.edges.wakeup import Hint
from dialer.errors import TryAgainLater
from dialer.telemetry import fault, logger

LOOK_EVERY_SECONDS = 2.0
LOOKS_PER_STALE_TIME = 5


@dataclass(frozen=True, slots=True)
class Why:
    """For the audit log and the log: what is done, by whom, and for what reason."""

    event: str
    actor: str
    reason: str | None


BY_ITSELF = Why("STALE_DETECTION", "control", "no daemon keeps it")
AT_START = Why("STARTUP_CLEANUP", "control", "too old to be resumed when control started")
_ACTIONS = {"STALE_DETECTION": "stale", "STARTUP_CLEANUP": "startup_cleanup"}


class Sight:
    """How long this process has seen the database without a gap.

    A heartbeat that is old because nobody could write it, or because we slept, proves nothing. The clock must
    run on during suspend, or a laptop that wakes up would find all its runs stale.
    """

    def __init__(self, longest_gap_seconds: float, clock: Callable[[], float]) -> None:
        self._longest_gap = longest_gap_seconds
        self._clock = clock
        self._since = 0.0
        self._last: float | None = None

    def seen(self) -> None:
        now = self._clock()
        if self._last is None or now - self._last > self._longest_gap:
            self._since = now
        self._last = now

    def lost(self) -> None:
        self._last = None

    @property
    def seconds(self) -> float:
        return 0.0 if self._last is None else self._last - self._since


class Reaper:
    """Looks again and again (`look`), or when somebody asks (`stop_stale`). Each run is stopped on its own."""

    def __init__(
        self,
        database: Database,
        hints: Hints,
        *,
        stale_seconds: float,
        resume_seconds: float,
        stopped: Callable[[str], None],
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        """`stopped` is told the action of each stop, for the figures."""
        self._database = database
        self._hints = hints
        self._stale = stale_seconds
        self._resume = resume_seconds
        self._stopped = stopped
        self._started = False
        # Looks come at a fifth of this time at most, so that only a real gap is one.
        self._sight = Sight(stale_seconds / 2, clock)
        self.look_every_seconds = min(LOOK_EVERY_SECONDS, stale_seconds / LOOKS_PER_STALE_TIME)

    async def look(self) -> None:
        """Stop what is stale for time that we witnessed. Raises DatabaseAway, which ends our witness."""
        try:
            stale = await self._database.rows("stale_runs", self._stale, None)
        except TryAgainLater:
            self._sight.lost()
            raise
        self._sight.seen()
        if not self._started:
            await self.stop_stale(self._resume, AT_START)
            self._started = True
        elif self._sight.seconds >= self._stale:
            await self._stop_each(stale, self._stale, BY_ITSELF)

    async def stop_stale(self, older_than_seconds: float, why: Why, business_id: int | None = None) -> list[int]:
        """Stop every run whose heartbeat is older; the runs that were stopped. Raises DatabaseAway."""
        stale = await self._database.rows("stale_runs", older_than_seconds, business_id)
        return await self._stop_each(stale, older_than_seconds, why)

    async def _stop_each(self, stale: list[Row], older_than_seconds: float, why: Why) -> list[int]:
        stopped = []
        for row in stale:
            try:
                if await self._stop(row["run_id"], older_than_seconds, why):
                    stopped.append(row["run_id"])
            except TryAgainLater as away:
                logger().warning("STALE_RUN_WAITS", run_id=row["run_id"], error=type(away).__name__)
            except Exception as error:  # noqa: BLE001
                # One run that cannot be stopped must not keep those of others from it.
                fault(f"stop of stale run {row['run_id']}", error)
        return stopped

    async def _stop(self, run_id: int, older_than_seconds: float, why: Why) -> bool:
        action = _ACTIONS[why.event]
        row = await self._database.row("stop_stale_run", run_id, older_than_seconds, action, why.actor, why.reason)
        self._sight.seen()
        if row is None:
            return False
        self._stopped(action)
        self._hints.say(Hint("run", row["business_id"], run_id=run_id))
        logger().warning(
            why.event,
            run_id=run_id,
            business_id=row["business_id"],
            actor=why.actor,
            reason=why.reason,
            worker=str(row["worker"]),
            heartbeat_age_seconds=row["heartbeat_age_seconds"],
            jobs_not_dialed=row["jobs"],
        )
        return True
