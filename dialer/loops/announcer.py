"""Keeps the log of a run's waiting line: OUTBOUND_ENQUEUE, OUTBOUND_QUEUED, OUTBOUND_NEXT, OUTBOUND_DONE."""

import asyncio
from collections.abc import Callable, Iterable

from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from dialer.rules.holding import Holding
from dialer.rules.line import LOOK_AHEAD, LineEvent, WaitingLine, done
from dialer.telemetry import logger


class Announcer:
    """One run's line. `active` counts the live calls of the business, as far as this process knows."""

    def __init__(self, holding: Holding, store: Store, active: Callable[[], int]) -> None:
        self._holding = holding
        self._store = store
        self._active = active
        self._line = WaitingLine()
        self._exhausted = False
        self._log = logger().bind(business_id=holding.terms.business_id, run_id=holding.terms.run_id)

    async def look_ahead(self) -> None:
        """Announce the jobs that wait next, a page at a time: a list of a million is not read for the log."""
        if self._exhausted or not self._line.needs_more():
            return
        try:
            jobs = await self._store.next_jobs(self._holding.terms.run_id, self._line.seen_to, LOOK_AHEAD)
        except DatabaseAway:
            return
        self._exhausted = len(jobs) < LOOK_AHEAD
        own = self._holding.terms.concurrency - len(self._holding.live)
        room = min(own, self._holding.limit - self._active())
        self._say(self._line.arrive(jobs, self._active(), room))

    def dialed(self, job_id: int) -> None:
        """An intent was written for the job."""
        self._say(self._line.dialed(job_id, self._active()))

    def came_back(self, job_id: int) -> None:
        """The job is in the queue again."""
        self._say(self._line.came_back(job_id, self._active()))

    def ended(self, job_id: int | None) -> None:
        """The job's call has ended."""
        if job_id is not None:
            self._say([done(job_id, self._active())])

    def _say(self, events: Iterable[LineEvent]) -> None:
        """In the loop's next turn: what has just been told of these events (a free slot, an intent) comes first."""
        soon = asyncio.get_running_loop().call_soon
        for event in events:
            soon(self._write, event, self._holding.limit)

    def _write(self, event: LineEvent, limit: int) -> None:
        fields = {"job_id": event.job_id, "active": event.active, "limit": limit}
        if event.queue_len is not None:
            fields["queue_len"] = event.queue_len
        self._log.info(event.event, **fields)
