"""Writes down what came of a create. A fact is written however long it takes; it is true whoever writes it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

from dialer.crashpoints import passed
from dialer.edges.carrier import Carrier, CarrierAway
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from dialer.rules.holding import REFUSALS_THAT_PAUSE, Holding
from dialer.rules.model import Intent
from dialer.rules.outcome import AccountRefused, NotProcessed, Outcome, Placed, Refused, Unknown
from dialer.rules.tally import Tally
from dialer.telemetry import logger

T = TypeVar("T")

FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 2.0

log = logger()


class SlotDesk(Protocol):
    """Who gives a slot back to Redis."""

    def released(self, slot: int, attempt_id: UUID) -> None: ...


class LineLog(Protocol):
    """Who keeps the log of a run's waiting line."""

    def came_back(self, job_id: int) -> None: ...
    def ended(self, job_id: int | None) -> None: ...


class Surroundings(Protocol):
    """What the daemon does for its settlers."""

    worker: UUID
    tally: Tally

    def lost(self, holding: Holding, why: str) -> None: ...
    def tell_released(self, holding: Holding, intent: Intent) -> None: ...


class Settler:
    """The outcomes of one run's creates, one clause each."""

    def __init__(
        self,
        holding: Holding,
        desk: SlotDesk,
        line: LineLog,
        around: Surroundings,
        *,
        store: Store,
        carrier: Carrier,
    ) -> None:
        self.holding = holding
        self._desk = desk
        self._line = line
        self._around = around
        self._store = store
        self._carrier = carrier

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        """Write the outcome down, and free the slot unless there may be a call."""
        fields = {"run_id": self.holding.terms.run_id, "job_id": intent.job_id}
        match outcome:
            case Placed():
                await self._placed(intent, outcome)
            case NotProcessed() | AccountRefused():
                log.info("CALL_NOT_PROCESSED", **fields, code=outcome.code, reason=outcome.reason)
                await self._back_to_queue(intent, outcome.code, outcome.reason)
            case Refused():
                log.info("CALL_REFUSED", **fields, code=outcome.code, reason=outcome.reason)
                await self._refused(intent, outcome)
            case Unknown():
                log.warning("CALL_UNKNOWN", **fields, code=outcome.code, reason=outcome.reason)
                await self._insist(
                    lambda: self._store.doubt_attempt(intent.attempt_id, outcome.code, outcome.reason)
                )
                passed("doubted.written")

    async def _placed(self, intent: Intent, placed: Placed) -> None:
        self.holding.refusals_in_a_row = 0
        log.info(
            "CALL_PLACED",
            run_id=self.holding.terms.run_id,
            job_id=intent.job_id,
            lead_id=intent.lead_id,
            call_sid=placed.call_sid,
        )
        if placed.queue_time_ms > 0:
            log.warning("CARRIER_QUEUES", call_sid=placed.call_sid, queue_time_ms=placed.queue_time_ms)
        fact = await self._insist(
            lambda: self._store.take_carrier_event(intent.attempt_id, placed.call_sid, "answer", "queued")
        )
        passed("placed.written")
        if fact.result == "late_call":
            log.error("LATE_CALL", attempt_id=str(intent.attempt_id), call_sid=placed.call_sid)
        if fact.hangup_requested or fact.result == "late_call":
            await self._hang_up(placed.call_sid)

    async def _hang_up(self, call_sid: str) -> None:
        try:
            await self._carrier.hang_up(call_sid)
        except CarrierAway as error:
            log.warning("HANG_UP_FAILED", call_sid=call_sid, error=str(error))

    async def _back_to_queue(self, intent: Intent, code: int | None, reason: str) -> None:
        result = await self._insist(lambda: self._store.return_attempt(intent.attempt_id, 0.0, code, reason))
        passed("returned.written")
        if result == "too_late":
            log.warning("LOCK_TOKEN_MISMATCH", attempt_id=str(intent.attempt_id), write="return_attempt")
            return
        self._free(intent)
        if result == "returned":
            self.holding.came_back()
            self._line.came_back(intent.job_id)

    async def _refused(self, intent: Intent, refused: Refused) -> None:
        written = await self._insist(
            lambda: self._store.refuse_attempt(
                intent.attempt_id, refused.disposition, refused.code, refused.reason
            )
        )
        passed("refused.written")
        if not written:
            log.warning("LOCK_TOKEN_MISMATCH", attempt_id=str(intent.attempt_id), write="refuse_attempt")
            return
        self._around.tally.calls[refused.disposition] += 1
        if refused.configuration:
            self.holding.refusals_in_a_row += 1
        self._free(intent)
        self._line.ended(intent.job_id)
        if self.holding.refusals_in_a_row == REFUSALS_THAT_PAUSE:
            await self._pause(refused)

    async def _pause(self, refused: Refused) -> None:
        why = (
            f"carrier {refused.code}: {REFUSALS_THAT_PAUSE} refusals in a row; mend the configuration, then resume"
        )
        paused = await self._insist(
            lambda: self._store.pause_for_refusals(self.holding.terms, self._around.worker, why)
        )
        if paused:
            log.error("RUN_PAUSED", run_id=self.holding.terms.run_id, reason=why)
            self._around.lost(self.holding, "paused for refusals")

    def _free(self, intent: Intent) -> None:
        self.holding.ended(intent.attempt_id)
        self._desk.released(intent.slot, intent.attempt_id)
        if not self.holding.held:
            self._around.tell_released(self.holding, intent)

    async def _insist(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write a fact, as often as it takes: each is guarded by the attempt's state, so twice is once."""
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                return await write()
            except DatabaseAway as error:
                log.warning("FACT_WAITS", error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)
