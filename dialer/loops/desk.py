"""The desk of one business: asks for slots for the runs that this process holds, gives back what has ended.

One trip to Redis at a time. With Redis away Postgres names the slots; with the slots lost they are rebuilt.
A name is not a permission: the intent decides.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

from dialer.crashpoints import passed
from dialer.edges.slots import Slots, Turn
from dialer.edges.store import Store
from dialer.errors import DatabaseAway, RedisAway
from dialer.rhythm import heed_cancellation, wait_or
from dialer.rules.holding import Holding
from dialer.rules.model import Business, Grant
from dialer.telemetry import fault, logger

# A waiter looks by itself, and so keeps its ticket fresh (see FRESH_MS).
LOOK_EVERY_SECONDS = 0.3
TRY_REDIS_EVERY_SECONDS = 1.0
LIVE_GRACE_SECONDS = 1.0

log = logger()


class Desk:
    """State: the runs, and what to tell Redis on the next trip."""

    def __init__(
        self,
        business: Business,
        slots: Slots,
        store: Store,
        *,
        may_dial: Callable[[Holding], bool],
        dial: Callable[[Holding, list[Grant]], None],
        ended: Callable[[Holding, UUID], None],
        clock: Callable[[], float],
    ) -> None:
        self.business_id = business.business_id
        self.limit = business.limit
        self.runs: dict[int, Holding] = {}
        self.active_elsewhere = 0
        self.degraded = False
        self._slots = slots
        self._store = store
        self._may_dial = may_dial
        self._dial = dial
        self._ended = ended
        self._clock = clock
        self._woken = asyncio.Event()
        self._in_line: set[int] = set()
        self._next = Turn(self.business_id, self.limit)
        self._unsure = True  # whatever Redis holds of an earlier life is compared before it is believed
        self._redis_again_at = 0.0
        self._quiet = False

    # -- what others tell the desk ----------------------------------------------------------------------

    def join(self, holding: Holding) -> None:
        """A run of this business was claimed."""
        self.runs[holding.terms.run_id] = holding
        holding.limit = self.limit
        self.wake()

    def leave(self, run_id: int) -> None:
        """A run is not ours any more; the slots named for it go back."""
        holding = self.runs.pop(run_id, None)
        if holding is not None:
            # While it was here, comparisons may have been at a glance, which says nothing of this.
            self._quiet = False
            for attempt_id, slot in holding.reserved.items():
                self._next.release.append((slot, attempt_id))
            holding.reserved.clear()
            self._next.dropped += holding.tickets
            holding.tickets.clear()
            self._in_line.add(run_id)
            self.wake()

    def released(self, slot: int, attempt_id: UUID) -> None:
        """An attempt has ended, by whomever it was placed: its slot is free."""
        self._next.release.append((slot, attempt_id))
        self.wake()

    def committed(self, attempt_id: UUID) -> None:
        """A named slot became an intent: it stays taken until it is released."""
        self._next.confirm.append(attempt_id)

    def not_used(self, holding: Holding, attempt_id: UUID, *, taken: bool = False) -> None:
        """A named slot was not used. `taken`: Postgres knows a live call in it, hide it until reconciled."""
        slot = holding.reserved.pop(attempt_id, None)
        if slot is not None:
            (self._next.taken if taken else self._next.release).append((slot, attempt_id))
            self.wake()

    def is_idle(self) -> bool:
        """No run, nothing to tell, and nothing live when it was last compared: nobody needs this desk."""
        return self._quiet and not self.runs and not self._has_news(self._next)

    def doubt(self) -> None:
        """Compare with Postgres before the next trip."""
        self._unsure = True
        self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    # -- the loop ---------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """For ever, until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.turn()
            except DatabaseAway as error:
                log.debug("desk waits", business_id=self.business_id, error=str(error))
            except Exception as error:  # noqa: BLE001
                # A fault of ours must be seen, and must not stop this business for ever.
                fault("desk", error)
                self._unsure = True
            heed_cancellation()
            await wait_or(self._woken, LOOK_EVERY_SECONDS if self._is_waiting() else None)

    async def turn(self) -> None:
        """One trip, when there is a reason for it."""
        if self.degraded and self._clock() < self._redis_again_at:
            return await self._name_by_postgres()
        try:
            if self._unsure:
                await self._compare_now()
            await self._trip()
        except RedisAway as error:
            self._set_degraded(str(error))
            await self._name_by_postgres()
        return None

    async def compare(self, business: Business, read_ms: int, read_at: float) -> None:
        """Make memory and Redis agree with what Postgres showed. Raises RedisAway."""
        self.see(business, read_at)
        drift = await self._slots.reconcile(business, read_ms)
        self._unsure = False
        self._set_well()
        self._quiet = not business.live and drift.active == 0
        if drift.rebuilt or drift.removed or drift.added:
            log.info(
                "SLOTS_RECONCILED",
                business_id=self.business_id,
                rebuilt=drift.rebuilt,
                removed=drift.removed,
                added=drift.added,
            )
        self._take(drift.granted, drift.active)

    def see(self, business: Business, read_at: float) -> None:
        """Take in the limit, and attempts that ended without our hearing of it."""
        self.limit = business.limit
        live = {a.attempt_id for a in business.live}
        for holding in self.runs.values():
            holding.limit = business.limit
            for attempt_id, since in list(holding.live_since.items()):
                if attempt_id not in live and since < read_at - LIVE_GRACE_SECONDS:
                    self.released(holding.live[attempt_id], attempt_id)
                    self._ended(holding, attempt_id)
        self.wake()

    # -- how --------------------------------------------------------------------------------------------

    async def _compare_now(self) -> None:
        read_at = self._clock()
        read_ms = await self._slots.now_ms(self.business_id)
        for business in await self._store.businesses([self.business_id]):
            await self.compare(business, read_ms, read_at)

    async def _trip(self) -> None:
        turn = self._write_down()
        if not (self._has_news(turn) or turn.want or turn.leave or turn.renew):
            return
        passed("slots.asked")
        answer = await self._slots.turn(turn)
        passed("slots.named")
        if not answer.generation:
            # Redis lost this business's slots. Nothing was done; what was to be told is told by the rebuild.
            await self._compare_now()
            self.wake()
            return
        self._set_well()
        log.debug(
            "slots turn",
            business_id=self.business_id,
            released=len(turn.release),
            wanted=sum(len(ids) for _, ids in turn.want),
            granted=[g.slot for g in answer.granted],
            active=answer.active,
            waiting=answer.waiting,
        )
        self._take(answer.granted, answer.active)

    def _write_down(self) -> Turn:
        """What to say on this trip; what comes meanwhile is said on the next."""
        wishes = [(run_id, ids) for run_id, h in self.runs.items() if (ids := self._tickets_of(h))]
        turn, self._next = self._next, Turn(self.business_id, self.limit)
        turn.limit = self.limit
        turn.want = wishes
        turn.renew = [attempt_id for h in self.runs.values() for attempt_id in h.reserved]
        wanting = {run_id for run_id, _ in wishes}
        turn.leave = list(self._in_line - wanting)
        self._in_line = wanting
        return turn

    def _tickets_of(self, holding: Holding) -> list[UUID]:
        """One attempt id for each slot wanted. An id is kept until it is granted: asking twice is asking once."""
        wanted = holding.wanted(self._clock()) if self._may_dial(holding) else 0
        while len(holding.tickets) < wanted:
            holding.tickets.append(uuid4())
        # One that was handed a slot meanwhile gives it back.
        self._next.dropped += holding.tickets[wanted:]
        del holding.tickets[wanted:]
        return list(holding.tickets)

    def _take(self, grants: Sequence[Grant], active: int) -> None:
        ours: dict[int, list[Grant]] = defaultdict(list)
        for grant in grants:
            holding = self.runs.get(grant.run_id)
            if holding is not None and (grant.attempt_id in holding.reserved or grant.attempt_id in holding.live):
                continue  # heard already: the trip and a comparison may both have brought it
            if holding is None or grant.attempt_id not in holding.tickets:
                self.released(grant.slot, grant.attempt_id)
                continue
            holding.tickets.remove(grant.attempt_id)
            holding.reserved[grant.attempt_id] = grant.slot
            ours[grant.run_id].append(grant)
        here = sum(len(h.live) + len(h.reserved) for h in self.runs.values())
        self.active_elsewhere = max(active - here, 0)
        for run_id, named in ours.items():
            self._dial(self.runs[run_id], named)

    async def _name_by_postgres(self) -> None:
        self._next = Turn(self.business_id, self.limit)  # the comparison on Redis's return says it all
        for holding in self.runs.values():
            # Under new ids: the old ones may still stand in Redis's line, and get other slots there.
            holding.tickets.clear()
        wanting = [(h, ids) for h in self.runs.values() if (ids := self._tickets_of(h))]
        if not wanting:
            return
        reserved = {slot for h in self.runs.values() for slot in h.reserved.values()}
        count = sum(len(ids) for _, ids in wanting) + len(reserved)
        free = [s for s in await self._store.free_slots(self.business_id, count) if s not in reserved]
        # Round the runs, one slot each, as the line in Redis would.
        order = [
            (h, ids[i]) for i in range(max(len(ids) for _, ids in wanting)) for h, ids in wanting if i < len(ids)
        ]
        for slot, (holding, attempt_id) in zip(free, order, strict=False):
            self._take([Grant(holding.terms.run_id, attempt_id, slot)], 0)

    @staticmethod
    def _has_news(turn: Turn) -> bool:
        return bool(turn.release or turn.confirm or turn.taken or turn.dropped)

    def _is_waiting(self) -> bool:
        now = self._clock()
        return (
            self.degraded
            or self._unsure
            or bool(self._next.confirm or self._next.dropped)
            or any(h.reserved or h.wanted(now) or h.rest_until > now for h in self.runs.values())
        )

    def _set_degraded(self, why: str) -> None:
        self._unsure = True
        self._redis_again_at = self._clock() + TRY_REDIS_EVERY_SECONDS
        if not self.degraded:
            self.degraded = True
            log.warning("REDIS_AWAY", business_id=self.business_id, error=why)

    def _set_well(self) -> None:
        if self.degraded:
            self.degraded = False
            log.info("REDIS_BACK", business_id=self.business_id)
