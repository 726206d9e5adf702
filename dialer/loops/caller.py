"""Turns the slots named for one run into calls: permit, intent, still trusted?, request, outcome.

The order is the promise. A permit costs nothing if unused; the intent is committed before the request leaves;
between the last look at the lease and the request nothing is awaited; and what was sent is never sent again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from dialer.crashpoints import passed
from dialer.edges.carrier import Carrier
from dialer.edges.store import Store
from dialer.errors import DatabaseAway, DatabaseRefused
from dialer.rhythm import report, wait_or
from dialer.rules.gate import Gate
from dialer.rules.holding import Holding
from dialer.rules.model import Grant, Intent, Refusal
from dialer.rules.neighbours import LineLog, Room, SlotDesk, Surroundings
from dialer.rules.outcome import NotProcessed, Outcome, Unknown
from dialer.telemetry import fault, logger

REST_SECONDS = 0.3
LOOK_FOR_INTENTS_EVERY_SECONDS = 0.5
# Longer than a statement can run: after it, an intent that was not found was not committed.
LOOK_FOR_INTENTS_SECONDS = 15.0
# Look-ups give an attempt up once ring time-out + list lag have shown no call: what is late by then is never sent.
SEND_WITHIN_SECONDS = 5.0

T = TypeVar("T")

log = logger()


class Caller:
    """One run's calls. `grant` gives it work; `stop` ends new work at once; `drain` waits for what is out."""

    def __init__(
        self,
        holding: Holding,
        desk: SlotDesk,
        line: LineLog,
        around: Surroundings,
        *,
        store: Store,
        carrier: Carrier,
        settle: Callable[[Intent, Outcome], Awaitable[None]],
        permits: Callable[[int, bool], Awaitable[list[float]]],
        is_expired: Callable[[float], bool],
        gate: Gate,
        wire: Room,
        clock: Callable[[], float],
        unpaced: bool = False,
    ) -> None:
        """`unpaced`: creates may be sent at any rate, permits are not asked for."""
        self.holding = holding
        self._desk = desk
        self._line = line
        self._around = around
        self._store = store
        self._carrier = carrier
        self._settle = settle
        self._permits = permits
        self._is_expired = is_expired
        self._gate = gate
        self._wire = wire
        self._clock = clock
        self._unpaced = unpaced
        self._grants: list[Grant] = []
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._placing: dict[UUID, asyncio.Task[None]] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._room = 0  # on the wire, for requests that have not begun

    def grant(self, grants: Sequence[Grant]) -> None:
        """Slots were named for this run."""
        self._grants.extend(grants)
        self._woken.set()

    async def serve(self) -> None:
        """Dial what is granted, until stopped. One intent in flight at a time, or stops would queue behind."""
        await self._line.look_ahead()
        while not self._stopping.is_set():
            await self._woken.wait()
            self._woken.clear()
            while self._grants and not self._stopping.is_set():
                await self._dial_guarded()
                await self._line.look_ahead()
        self._give_back(self._grants)

    def stop(self) -> None:
        """No new intent, and nothing is sent that is not on the wire already."""
        self._stopping.set()
        self._woken.set()

    async def drain(self, seconds: float | None) -> None:
        """Wait for requests on the wire; those still there then are left `unknown`, for reconciliation.

        None: wait until all are answered.
        """
        while tasks := [*self._placing.values(), *self._chores]:
            await asyncio.wait(tasks, timeout=seconds)
            if seconds is not None:
                break
        left = [*self._placing.values(), *self._chores]
        await asyncio.gather(*(self._leave(attempt_id) for attempt_id in list(self._placing)))
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _leave(self, attempt_id: UUID) -> None:
        try:
            await self._store.doubt_attempt(attempt_id, None, "the daemon stopped before the carrier answered")
        except DatabaseAway:
            # It stays an intent: whoever takes the run over, or any daemon later, finds it.
            log.warning("LEFT_AS_INTENT", attempt_id=str(attempt_id))

    # -- grants to intents ------------------------------------------------------------------------------

    async def _dial_guarded(self) -> None:
        """A fault of ours must be seen, and must not stop this run for ever, or keep its slots."""
        try:
            await self._dial_some()
        except Exception as error:  # noqa: BLE001
            fault("caller", error)
            self._gate.not_sent()
            self._give_back([Grant(self.holding.terms.run_id, a, s) for a, s in self.holding.reserved.items()])
            self._grants.clear()
            await wait_or(self._stopping, REST_SECONDS)

    async def _permits_unless_stopped(self, wanted: int, within: float | None = None) -> list[float]:
        """No permit is taken for a run that stops meanwhile. `within`: of an intent that cannot wait longer."""
        if self._unpaced:
            return [self._clock()] * wanted
        return await self._unless_stopped(self._permits(wanted, within is not None), within) or []

    async def _unless_stopped(self, work: Awaitable[T], within: float | None = None) -> T | None:
        """None when the run stopped first, or it took longer than `within`; then the work is cancelled."""
        asking = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([asking, stopped], timeout=within, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()
            stopped.cancel()

    async def _dial_some(self) -> None:
        wanted = len(self._grants)
        self._room = self._wire.room_now(wanted) or await self._unless_stopped(self._wire.room(wanted)) or 0
        try:
            if self._room:
                await self._dial_as_many(self._room)
        finally:
            self._wire.leave(self._room)

    async def _dial_as_many(self, room: int) -> None:
        """Dial so many of the grants at most."""
        moments = await self._permits_unless_stopped(room)
        passed("permit.taken")
        self._grants.sort(key=lambda g: g.slot)
        grants, self._grants = self._grants[: len(moments)], self._grants[len(moments) :]
        may_dial = self._around.is_trusted(self.holding) and not self._stopping.is_set()
        count = self._gate.admit(len(grants), self._clock()) if may_dial else 0
        self._give_back(grants[count:])
        if count:
            await self._intend(grants[:count], moments)

    async def _intend(self, grants: list[Grant], moments: list[float]) -> None:
        """Write intents and begin their requests."""
        run = self.holding.terms
        send_by = self._clock() + min(SEND_WITHIN_SECONDS, run.ring_timeout_seconds)
        passed("intent.sent")
        try:
            answer = await self._store.write_intents(
                run, self._around.worker, self.holding.cursor, grants, self._carrier.account_sid
            )
        except DatabaseRefused:
            self._gate.not_sent()
            self._give_back(grants)
            self.holding.rest_until = self._clock() + REST_SECONDS
            return
        except DatabaseAway as error:
            log.warning("INTENT_UNCERTAIN", run_id=run.run_id, error=str(error))
            self._gate.not_sent()
            self._begin(self._undo([g.attempt_id for g in grants]), None)
            self._give_back(grants)
            self._desk.doubt()
            return
        passed("intent.committed")
        log.debug("intents", run_id=run.run_id, written=len(answer.written), refused=len(answer.refused))
        if answer.business_limit is not None and answer.queued_left is not None:
            self.holding.limit = answer.business_limit
            self.holding.queued = answer.queued_left
        self._around.tally.intents.update(["written"] * len(answer.written) + [r.verdict for r in answer.refused])
        if not answer.written:
            self._gate.not_sent()
        for intent, moment in zip(answer.written, moments, strict=False):
            # It runs once this is done; what is booked is told to the log after the requests have begun.
            self._begin(self._place(intent, moment, send_by), intent.attempt_id)
            self._book(intent)
        for refusal in answer.refused:
            self._take_refusal(refusal)

    def _book(self, intent: Intent) -> None:
        self.holding.began(intent.attempt_id, intent.slot, intent.job_id, self._clock())
        self.holding.unanswered.add(intent.attempt_id)
        self.holding.cursor = max(self.holding.cursor, intent.position)
        self._desk.committed(intent.attempt_id)
        self._line.dialed(intent.job_id)

    def _take_refusal(self, refusal: Refusal) -> None:
        self._desk.not_used(self.holding, refusal.attempt_id, taken=refusal.verdict == "slot_taken")
        match refusal.verdict:
            case "lost":
                self._around.lost(self.holding, "an intent was refused")
            case "no_job":
                self.holding.found_nothing(self._clock(), REST_SECONDS)
            case "slot_taken" | "slot_above_limit":
                self._desk.doubt()
            case _:
                self.holding.rest_until = self._clock() + REST_SECONDS
                self._desk.doubt()

    def _give_back(self, grants: Sequence[Grant]) -> None:
        for grant in list(grants):
            self._desk.not_used(self.holding, grant.attempt_id)

    async def _undo(self, attempt_ids: list[UUID]) -> None:
        """After a lost connection: intents that were committed all the same were certainly never sent."""
        looked_for = set(attempt_ids)
        give_up_at = self._clock() + LOOK_FOR_INTENTS_SECONDS
        while looked_for and self._clock() < give_up_at:
            try:
                for attempt_id in await self._store.attempts_written(looked_for):
                    await self._store.return_attempt(
                        attempt_id, 0.0, None, "the intent's answer was lost; not sent"
                    )
                    looked_for.discard(attempt_id)
                    self.holding.came_back()
                    self._desk.wake()
            except DatabaseAway:
                give_up_at = self._clock() + LOOK_FOR_INTENTS_SECONDS
            await asyncio.sleep(LOOK_FOR_INTENTS_EVERY_SECONDS)

    # -- intents to calls -------------------------------------------------------------------------------

    async def _place(self, intent: Intent, moment: float, send_by: float) -> None:
        try:
            await self._settle(intent, await self._ask_carrier(intent, moment, send_by))
        finally:
            self.holding.unanswered.discard(intent.attempt_id)

    async def _ask_carrier(self, intent: Intent, moment: float, send_by: float) -> Outcome:
        while self._is_expired(moment) and not self._stopping.is_set() and (left := send_by - self._clock()) > 0:
            [moment, *_] = await self._permits_unless_stopped(1, left) or [moment]
        wait = moment - self._clock()
        if wait > 0:
            await wait_or(self._stopping, wait)
        passed("create.due")
        is_late = self._clock() >= send_by
        if is_late or self._stopping.is_set() or not self._around.is_trusted(self.holding):
            self._gate.not_sent()
            return NotProcessed("not sent: too late, the lease is not trusted any more, or the daemon drains")
        try:
            outcome = await self._carrier.create(intent, self.holding.terms)
        except Exception as error:  # noqa: BLE001
            # A fault of ours after the request may have left: whatever it was, there may be a call.
            fault("create", error)
            outcome = Unknown(f"fault: {type(error).__name__}")
        passed("create.answered")
        self._hear(outcome)
        return outcome

    def _hear(self, outcome: Outcome) -> None:
        before = self._gate.reason
        self._gate.heard(outcome, self._clock(), random.random())  # noqa: S311 - spreads daemons apart
        if self._gate.reason != before:
            self._begin(self._around.account_changed(self._gate.reason), None)

    def _begin(self, work: Awaitable[None], attempt_id: UUID | None) -> None:
        """Start a task that `drain` knows. One with an attempt id is a request that may be on the wire."""
        task = asyncio.ensure_future(work)
        if attempt_id is not None:
            self._room -= 1  # it goes with the request, whatever befalls us from now on
            self._placing[attempt_id] = task
            task.add_done_callback(lambda _: self._answered(attempt_id))
        else:
            self._chores.add(task)
            task.add_done_callback(self._chores.discard)
        task.add_done_callback(report)

    def _answered(self, attempt_id: UUID) -> None:
        del self._placing[attempt_id]
        self._wire.leave(1)
