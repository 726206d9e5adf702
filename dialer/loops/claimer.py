"""Claims runs that nobody holds."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from dialer.crashpoints import passed
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from dialer.rules.model import LiveAttempt, Terms
from dialer.telemetry import logger

TRY_AGAIN_SECONDS = 0.2

log = logger()


class Claimer:
    """One look takes our fair share of what is free; `take` receives it with the moment the claim was sent."""

    def __init__(
        self,
        store: Store,
        worker: UUID,
        *,
        takeover_seconds: float,
        resume_seconds: float,
        held: Callable[[], int],
        refused: Callable[[], str | None],
        take: Callable[[Sequence[Terms], Sequence[LiveAttempt], float], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._worker = worker
        self._takeover = takeover_seconds
        self._resume = resume_seconds
        self._held = held
        self._refused = refused
        self._take = take
        self._clock = clock

    async def look(self) -> None:
        """Claim once. Raises DatabaseAway; a claim that was committed then is taken over like a dead one's."""
        sent_at = self._clock()
        passed("claim.sent")
        terms = await self._store.claim_runs(
            self._worker, self._takeover, self._resume, self._held(), self._refused()
        )
        if not terms:
            return
        passed("claim.committed")
        live = await self._adopt(terms)
        passed("claim.adopted")
        for run in terms:
            log.info(
                "RUN_RESUMED" if run.resumed else "RUN_CLAIMED",
                run_id=run.run_id,
                business_id=run.business_id,
                lease_epoch=run.lease_epoch,
                queued=run.queued,
            )
        self._take(terms, live, sent_at)

    async def _adopt(self, terms: Sequence[Terms]) -> list[LiveAttempt]:
        """They are ours by now: give up only with the lease itself."""
        while True:
            try:
                return await self._store.adopt_attempts(terms)
            except DatabaseAway as error:
                log.warning("ADOPTION_WAITS", runs=len(terms), error=str(error))
                await asyncio.sleep(TRY_AGAIN_SECONDS)
