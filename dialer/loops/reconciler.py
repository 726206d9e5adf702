"""Compares what this process and Redis believe with Postgres: every few seconds, for every business it serves."""

from collections.abc import Callable, Mapping
from typing import Protocol

from dialer.crashpoints import passed
from dialer.edges.slots import Slots
from dialer.edges.store import Store
from dialer.errors import RedisAway
from dialer.rules.holding import Holding
from dialer.rules.model import Business
from dialer.telemetry import logger

log = logger()


class ComparedDesk(Protocol):
    """A desk, as far as it is compared."""

    runs: dict[int, Holding]

    async def compare(self, business: Business, read_ms: int, read_at: float) -> None: ...
    def see(self, business: Business, read_at: float) -> None: ...
    def wake(self) -> None: ...


class Reconciler:
    """`desks`: business -> desk, as they are now."""

    def __init__(
        self,
        store: Store,
        slots: Slots,
        desks: Callable[[], Mapping[int, ComparedDesk]],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._slots = slots
        self._desks = desks
        self._clock = clock

    async def compare(self) -> None:
        """Compare once. Raises DatabaseAway, or RedisAway after memory was compared all the same."""
        desks = dict(self._desks())
        if not desks:
            return
        read_at = self._clock()
        # Who answers. The first that fails to is asked no more in this round, or every desk of it would wait.
        clocks = await self._slots.clocks(desks)
        away = None if clocks else RedisAway("no clock")
        for business in await self._store.businesses(list(desks)):
            passed("compare.read")
            desk, home = desks[business.business_id], self._slots.home(business.business_id)
            try:
                if home in clocks:
                    await desk.compare(business, clocks[home], read_at)
                    continue
                away = away or RedisAway("no clock")
            except RedisAway as error:
                del clocks[home]
                away = error
            desk.see(business, read_at)
        await self._refill(desks)
        if away is not None:
            raise away

    async def compare_others(self) -> None:
        """Compare businesses that Redis still shows slots of and that have no desk here.

        A run that ended while nobody held it, or whose holder died right after, has left its slots behind.
        Raises DatabaseAway or RedisAway.
        """
        others = await self._slots.known_businesses() - set(self._desks())
        clocks = await self._slots.clocks(others)
        for business in await self._store.businesses(list(others)):
            home = self._slots.home(business.business_id)
            if home not in clocks:
                continue  # it is looked at again when its Redis is back
            drift = await self._slots.reconcile(business, clocks[home])
            if drift.removed:
                log.info("SLOTS_LEFT_BEHIND", business_id=business.business_id, removed=drift.removed)

    async def _refill(self, desks: Mapping[int, ComparedDesk]) -> None:
        """A run that looks empty may have got a job back from somebody else."""
        dry = {
            run_id: (desk, holding)
            for desk in desks.values()
            for run_id, holding in desk.runs.items()
            if holding.queued == 0
        }
        if not dry:
            return
        for run_id, queued in (await self._store.queued_left(list(dry))).items():
            desk, holding = dry[run_id]
            if queued and holding.queued == 0:
                holding.queued, holding.cursor = queued, -1
                desk.wake()
