"""How a daemon goes: nothing new, leases back at once, requests on the wire awaited; live calls go on without it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from dialer.archive import Archive
from dialer.crashpoints import passed
from dialer.edges.store import Store
from dialer.edges.wakeup import Hint
from dialer.errors import TryAgainLater
from dialer.rhythm import cancelled
from dialer.roster import Roster
from dialer.telemetry import logger

# SIGTERM to exit is ten seconds at most: eight for requests on the wire, the rest for giving everything back.
DRAIN_SECONDS = 8.0
GIVE_BACK_SECONDS = 1.5
LEAVE_SECONDS = 8.6
CANCEL_SECONDS = 0.3

log = logger()


@dataclass(frozen=True, slots=True)
class Leaving:
    """What the daemon has to give back, and to whom it says so."""

    worker: UUID
    store: Store
    roster: Roster
    archive: Archive
    publish: Callable[[Hint], Awaitable[None]]
    clock: Callable[[], float]

    async def go(self, insisted: asyncio.Event) -> None:
        """Returns after `LEAVE_SECONDS` at the latest, or as soon as somebody insists."""
        log.info("DRAIN", runs=len(self.roster.runs))
        passed("drain.begun")
        self.roster.stop()
        self.archive.stop()
        leaving = asyncio.ensure_future(self._leave())
        insisting = asyncio.ensure_future(insisted.wait())
        await asyncio.wait([leaving, insisting], timeout=LEAVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            # Postgres does not answer, or somebody insists: a connection that is waited for ends here.
            log.warning("LEFT_IN_HASTE", insisted=insisted.is_set())
            self.store.terminate()
            self.archive.terminate()
        await cancelled([leaving, insisting], CANCEL_SECONDS)
        log.info("STOPPED", worker=str(self.worker))

    async def _leave(self) -> None:
        begun_at = self.clock()
        # Slots that were only named, and the leases, first: others can go on while we wait for the wire.
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._turn_desks()
                await self._hand_over()
        except (TimeoutError, TryAgainLater) as error:
            log.warning("leases not handed over: they expire by themselves", error=type(error).__name__)
        await asyncio.gather(
            self.roster.drain(max(begun_at + DRAIN_SECONDS - self.clock(), 0.0)), self.archive.drain()
        )
        await self._turn_desks()

    async def _turn_desks(self) -> None:
        await asyncio.gather(*(d.turn() for d in self.roster.desks.values()), return_exceptions=True)

    async def _hand_over(self) -> None:
        for run_id, business_id in await self.store.hand_over(self.worker):
            log.info("RUN_HANDED_OVER", run_id=run_id, business_id=business_id)
            await self.publish(Hint("run", business_id, run_id))
        passed("drain.handed_over")
        await self.store.end_daemon(self.worker)
