"""Moves jobs that will never be dialed to where their run's end says, whether or not a daemon lives.

Readers show them there since the stop; this makes the rows say so too. Daemons do the same: batches skip each
other's rows.
"""

from control.database import Database, Row
from dialer.errors import TryAgainLater
from dialer.telemetry import logger

RUNS_AT_ONCE = 20
# Some 50 ms: so long a callback of the same run may have to wait for its counters.
BATCH = 5_000
# Longer only when somebody sits on a run's rows: the lists of others must not wait for that.
BATCH_WITHIN_SECONDS = 3.0


class Sweeper:
    """One `sweep` moves all there is, one batch of each run after the other: no list waits for a longer one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self) -> None:
        """Raises DatabaseAway; the rest is swept next time, by whomever."""
        moved = True
        while moved:
            runs = await self._database.rows("runs_to_sweep", RUNS_AT_ONCE)
            moved = any([await self._batch(run) for run in runs])

    async def _batch(self, run: Row) -> bool:
        """Whether there may be more of this run."""
        run_id = run["run_id"]
        try:
            if run["queued"]:
                return bool(await self._database.rows("sweep_run", run_id, BATCH, timeout=BATCH_WITHIN_SECONDS))
            if await self._database.row("mark_swept", run_id) is not None:
                logger().debug("run swept", run_id=run_id)
        except TryAgainLater as away:
            logger().warning("SWEEP_WAITS", run_id=run_id, error=type(away).__name__)
        return False
