"""What this daemon holds: its runs, each with a caller, and the desks of their businesses."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from dialer.crashpoints import passed
from dialer.edges.clock import unix_seconds
from dialer.edges.wakeup import Hint
from dialer.errors import DatabaseAway
from dialer.held import Edges, Held
from dialer.loops.desk import Desk
from dialer.rhythm import Tasks, insist
from dialer.rules.gate import Gate
from dialer.rules.holding import Holding, is_trusted
from dialer.rules.model import Business, Grant, Intent, LiveAttempt, Terms
from dialer.telemetry import fault, logger

FIRST_LOOKS_AT_ONCE = 64

log = logger()


class Roster:
    """All that is held. Runs come by `take`, go by `lost`; hints come by `hear`, beats by `beaten`."""

    def __init__(
        self,
        worker: UUID,
        edges: Edges,
        *,
        lease_seconds: float,
        margin_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self.worker = worker
        self.gate = Gate()
        self.runs: dict[int, Held] = {}
        self.desks: dict[int, Desk] = {}
        self._desk_tasks: dict[int, asyncio.Future[None]] = {}
        self.tally = edges.tally
        self.draining = False
        self._edges = edges
        self._lease = lease_seconds
        self._margin = margin_seconds
        self._clock = clock
        self._tasks = Tasks()
        self._first_looks = asyncio.Semaphore(FIRST_LOOKS_AT_ONCE)
        self._leaving: list[Held] = []
        # Runs let go with calls live: their ends are still told in the log.
        self._gone: dict[int, Held] = {}

    # -- runs come and go -------------------------------------------------------------------------------

    def take(self, terms: Sequence[Terms], live: Sequence[LiveAttempt], claimed_at: float) -> None:
        """Runs were claimed; `live` are the calls that earlier holders left."""
        left: dict[int, list[LiveAttempt]] = defaultdict(list)
        for attempt in live:
            left[attempt.run_id].append(attempt)
        for run in terms:
            holding = Holding.of(run, claimed_at)
            for attempt in left[run.run_id]:
                holding.began(attempt.attempt_id, attempt.slot, attempt.job_id, claimed_at)
            how = "taken_over" if run.taken_over else "again" if run.resumed else "first"
            self.tally.claims[how] += 1
            self._hold(holding)

    def _hold(self, holding: Holding) -> None:
        terms = holding.terms
        known = self.runs.get(terms.run_id)
        if known is not None:
            self.lost(known.holding, "claimed anew")
        desk = self._desk(terms)
        self.runs[terms.run_id] = Held.at_work(holding, desk, self, self._edges, self._tasks, self._clock)
        desk.join(holding)

    def lost(self, holding: Holding, why: str) -> None:
        """A run is not ours any more: no new call under its lease. Calls on the wire settle by themselves."""
        holding.held = False
        held = self.runs.get(holding.terms.run_id)
        if held is not None and held.holding is holding:
            del self.runs[holding.terms.run_id]
            self._leaving.append(held)
            if holding.live:
                self._gone[holding.terms.run_id] = held
            self._edges.room_for_runs()
            self._tasks.start(self._say_farewell(held))
            held.caller.stop()
            desk = self.desks.get(holding.terms.business_id)
            if desk is not None and desk.runs.get(holding.terms.run_id) is holding:
                desk.leave(holding.terms.run_id)
            log.debug("run let go", run_id=holding.terms.run_id, why=why)

    async def _say_farewell(self, held: Held) -> None:
        run_id = held.holding.terms.run_id
        status = (await insist(lambda: self._edges.store.run_states([run_id]))).get(run_id)
        event = "RUN_COMPLETED" if status == "completed" else "RUN_LEFT"
        log.info(event, run_id=run_id, business_id=held.holding.terms.business_id, status=status)
        # An intent may be on its way: what it brings was not begun yet.
        await asyncio.wait([held.task])
        await held.caller.drain(None)
        self._leaving.remove(held)

    # -- what is heard ----------------------------------------------------------------------------------

    def epochs(self) -> Mapping[int, int]:
        """Run -> epoch, for the beat (called from its thread)."""
        return {run_id: held.holding.terms.lease_epoch for run_id, held in list(self.runs.items())}

    def beaten(self, verdicts: Mapping[tuple[int, int], str], sent_at: float) -> None:
        """What a beat brought: trust from the moment it was sent, or a lost lease."""
        for (run_id, epoch), verdict in verdicts.items():
            held = self.runs.get(run_id)
            # What is said of an epoch says nothing of a run that we have claimed anew since.
            if held is None or held.holding.terms.lease_epoch != epoch:
                continue
            if verdict == "beaten":
                held.holding.trusted_from = max(held.holding.trusted_from, sent_at)
            elif verdict == "lost":
                self.lost(held.holding, "the beat did not find it")

    def hear(self, hint: Hint) -> None:
        """A hint came: look again where it points."""
        desk = self.desks.get(hint.business_id)
        if desk is None:
            return
        if hint.kind == "released" and hint.attempt_id is not None and hint.slot is not None:
            self._released(desk, hint.run_id, UUID(hint.attempt_id), hint.slot)
            if hint.heard_at is not None and self._somebody_waits(desk):
                age = max(unix_seconds() - hint.heard_at, 0.0)
                self.tally.handovers.freed(hint.business_id, hint.slot, self._clock() - age)
        elif hint.kind == "business":
            desk.doubt()
        elif hint.kind == "handed" and hint.to == str(self.worker):
            desk.wake()

    def doubt_all(self) -> None:
        """Hints may have been missed: every desk compares with Postgres."""
        self.tally.handovers.forget()
        for desk in self.desks.values():
            desk.doubt()

    def _released(self, desk: Desk, run_id: int | None, attempt_id: UUID, slot: int) -> None:
        """An attempt has ended, here or elsewhere."""
        passed("released.heard")
        desk.released(slot, attempt_id)
        held = self.runs.get(run_id or 0) or self._gone.get(run_id or 0)
        if held is not None:
            self._ended(held.holding, attempt_id)

    def _ended(self, holding: Holding, attempt_id: UUID) -> None:
        run_id = holding.terms.run_id
        held = self.runs.get(run_id) or self._gone.get(run_id)
        known = holding.ended(attempt_id)
        if held is not None and known is not None:
            held.line.ended(known[1])
        if not holding.live:
            self._gone.pop(run_id, None)
        if run_id in self.runs and not holding.live and holding.queued <= 0:
            self._tasks.start(self._look_whether_over(holding))

    async def _look_whether_over(self, holding: Holding) -> None:
        """The last call that we know of has ended: see at once, not at the next beat, whether the run has."""
        run_id = holding.terms.run_id
        try:
            status = (await self._edges.store.run_states([run_id])).get(run_id)
        except DatabaseAway:
            return
        if status != "running":
            self.lost(holding, "it is over")

    def _somebody_waits(self, desk: Desk) -> bool:
        return any(self.may_dial(holding) and holding.wanted(self._clock()) for holding in desk.runs.values())

    # -- what the loops ask -----------------------------------------------------------------------------

    def is_trusted(self, holding: Holding) -> bool:
        """May a call be placed under this lease, this very moment?"""
        return not self.draining and is_trusted(holding, self._clock(), self._lease, self._margin)

    def may_dial(self, holding: Holding) -> bool:
        """Is it worth asking for a slot?"""
        return self.is_trusted(holding) and not self.gate.is_closed(self._clock())

    def trusted_runs(self) -> int:
        """Runs whose lease is certainly ours: those that lapsed may be claimed again, by us too."""
        return sum(self.is_trusted(held.holding) for held in self.runs.values())

    def is_degraded(self) -> bool:
        """Is Redis away for any business? (Asked by the thread that beats.)"""
        return any(desk.degraded for desk in list(self.desks.values()))

    def active(self, business_id: int) -> int:
        """Live calls of a business, as far as this process knows."""
        desk = self.desks.get(business_id)
        return 0 if desk is None else desk.active_elsewhere + sum(len(h.live) for h in desk.runs.values())

    def tell_released(self, holding: Holding, intent: Intent) -> None:
        """An attempt of a run that somebody else holds by now had no call: its new holder waits for the slot."""
        terms = holding.terms
        hint = Hint(
            "released", terms.business_id, terms.run_id, str(intent.attempt_id), intent.slot, intent.job_id
        )
        self._tasks.start(self._edges.publish(hint))

    async def account_changed(self, reason: str | None) -> None:
        """The carrier refuses the account, or takes it again: show it on every run."""
        if reason is not None:
            log.error("ACCOUNT_REFUSED", reason=reason)
        try:
            await self._edges.store.note_last_error(self.worker, list(self.runs), reason)
        except DatabaseAway as error:
            log.warning("last_error not written", error=str(error))

    # -- the end ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Nothing new is dialed; what is named but not committed goes back."""
        self.draining = True
        for held in self.runs.values():
            held.caller.stop()
            held.holding.held = False
        for desk in self.desks.values():
            for run_id in list(desk.runs):
                desk.leave(run_id)

    async def drain(self, seconds: float) -> None:
        """Wait for the requests on the wire; those that are not answered by then are left unknown."""
        until = self._clock() + seconds
        held = [*self.runs.values(), *self._leaving]
        if held:
            await asyncio.wait([h.task for h in held], timeout=seconds)
        await asyncio.gather(*(h.caller.drain(max(until - self._clock(), 0.0)) for h in held))

    def tidy(self) -> None:
        """Close the desks that nobody needs: a daemon that lives for years meets many businesses."""
        for business_id, desk in list(self.desks.items()):
            if not any(h.queued > 0 or h.reserved or h.unanswered for h in desk.runs.values()):
                self.tally.handovers.forget(business_id)
            if desk.is_idle():
                del self.desks[business_id]
                self._desk_tasks.pop(business_id).cancel()
                for run_id, held in list(self._gone.items()):
                    if held.holding.terms.business_id == business_id:
                        del self._gone[run_id]

    async def close(self, within: float) -> None:
        """End every task; wait for them at most so many seconds."""
        await self._tasks.close(within)

    # -- how --------------------------------------------------------------------------------------------

    def _desk(self, terms: Terms) -> Desk:
        desk = self.desks.get(terms.business_id)
        if desk is None:
            desk = Desk(
                Business(terms.business_id, terms.business_limit, ()),
                self._edges.slots,
                self._edges.store,
                may_dial=self.may_dial,
                dial=self._dial,
                ended=self._ended,
                clock=self._clock,
            )
            self.desks[terms.business_id] = desk
            self._desk_tasks[terms.business_id] = self._tasks.start(self._attend(desk))
        desk.limit = terms.business_limit
        return desk

    async def _attend(self, desk: Desk) -> None:
        # The first look of a desk is its dearest. Ten thousand at once would each wait for all others, longer than
        # Redis is waited for, and all would believe that it is away.
        async with self._first_looks:
            await self._look_first(desk)
        await desk.serve()

    async def _look_first(self, desk: Desk) -> None:
        try:
            await desk.turn()
        except DatabaseAway as error:
            log.debug("desk waits", business_id=desk.business_id, error=str(error))
        except Exception as error:  # noqa: BLE001
            fault("desk", error)

    def _dial(self, holding: Holding, grants: list[Grant]) -> None:
        held = self.runs.get(holding.terms.run_id)
        if held is not None and held.holding is holding:
            held.caller.grant(grants)
