"""Compares what this process and Redis believe with Postgres: every few seconds, for every business it serves.

Nearly always there is nothing to mend. So Redis is only glanced at, for many businesses in one trip; those of which it
shows just the calls that Postgres and memory know are done with. The others are compared by the script.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Protocol

from dialer.crashpoints import passed
from dialer.edges.glance import Glance, Shown
from dialer.edges.slots import Slots
from dialer.edges.store import Store
from dialer.errors import RedisAway
from dialer.rules.holding import Holding, is_as_shown
from dialer.rules.model import Business
from dialer.telemetry import logger

# So many businesses are read in 20 to 40 ms. A process that serves more of them rests after each part, so that
# slots are handed on meanwhile, but not longer than this in all.
AT_ONCE = 250
MOST_REST_SECONDS = 2.0
# How many times as long as the part took.
REST = 2

log = logger()


class ComparedDesk(Protocol):
    """A desk, as far as it is compared."""

    runs: dict[int, Holding]
    degraded: bool
    active_elsewhere: int

    async def compare(self, business: Business, read_ms: int, read_at: float) -> None: ...
    def see(self, business: Business, read_at: float) -> None: ...
    def wake(self) -> None: ...


class Reconciler:
    """`desks`: business -> desk, as they are now."""

    def __init__(
        self,
        store: Store,
        slots: Slots,
        glance: Glance,
        desks: Callable[[], Mapping[int, ComparedDesk]],
        clock: Callable[[], float],
        *,
        at_once: int = AT_ONCE,
    ) -> None:
        self._store = store
        self._slots = slots
        self._glance = glance
        self._desks = desks
        self._clock = clock
        self._at_once = at_once

    async def compare(self) -> None:
        """Compare once. Raises DatabaseAway, or RedisAway after memory was compared all the same."""
        desks = dict(self._desks())
        silent: set[str] = set()
        rest = 0.0
        for part in _parts(desks, self._at_once):
            await asyncio.sleep(rest)
            began_at = self._clock()
            await self._compare_part(part, silent)
            rest = min(REST * (self._clock() - began_at), MOST_REST_SECONDS * len(part) / len(desks))
        if silent:
            raise RedisAway("no answer")

    async def _compare_part(self, desks: Mapping[int, ComparedDesk], silent: set[str]) -> None:
        """`silent`: servers (see Slots.home) that have not answered in this round. They are asked no more, or every
        desk of theirs would wait. Those whose server answers are compared all the same.
        """
        read_at = self._clock()
        asked = [business_id for business_id in desks if self._slots.home(business_id) not in silent]
        shown = await self._glance.of(asked) if asked else Shown({}, {})
        for business in await self._store.businesses(list(desks)):
            passed("compare.read")
            desk, home = desks[business.business_id], self._slots.home(business.business_id)
            if self._is_settled(desk, business, shown):
                continue
            try:
                if home not in silent and home in shown.clocks:
                    await desk.compare(business, shown.clocks[home], read_at)
                    continue
            except RedisAway as error:
                log.debug("not compared", business_id=business.business_id, error=str(error))
            silent.add(home)
            desk.see(business, read_at)
        await self._refill(desks)

    def _is_settled(self, desk: ComparedDesk, business: Business, shown: Shown) -> bool:
        if desk.degraded or desk.active_elsewhere:
            return False
        members = shown.members.get(business.business_id)
        return members is not None and is_as_shown(desk.runs.values(), business, members, self._clock())

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


def _parts(desks: Mapping[int, ComparedDesk], at_once: int) -> Iterator[dict[int, ComparedDesk]]:
    left = iter(desks.items())
    while part := dict(islice(left, at_once)):
        yield part
