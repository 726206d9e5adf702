"""Moves jobs that will never be dialed to where their run's end says, in batches that hurt nobody."""

from dialer.edges.store import Store
from dialer.telemetry import logger

RUNS_AT_ONCE = 20
BATCH = 5_000

log = logger()


class Sweeper:
    """Readers show these jobs at their new place since the run's end; this makes the rows say so too."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def sweep(self) -> None:
        """Sweep what there is. Raises DatabaseAway; the rest is swept next time, by whomever."""
        for run_id, queued in await self._store.runs_to_sweep(RUNS_AT_ONCE):
            swept = 0
            while queued and (moved := await self._store.sweep_run(run_id, BATCH)):
                swept += moved
            await self._store.mark_swept(run_id)
            if swept:
                log.info("RUN_SWEPT", run_id=run_id, jobs=swept)
