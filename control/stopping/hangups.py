"""Ends the live calls of runs that were cancelled with `hangup`: the carrier is asked, its callbacks settle it."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from control.database import Database
from control.hints import Hints
from dialer.config import Settings, secret
from dialer.edges.carrier import Carrier, CarrierAway, Found
from dialer.edges.wakeup import Hint
from dialer.errors import TryAgainLater
from dialer.rules.model import CarrierEvent
from dialer.rules.tally import Tally
from dialer.telemetry import fault, logger

AT_ONCE = 20
CARRIER_TIMEOUT_SECONDS = 10.0
# How long an answer waits for the carrier; what takes longer is done all the same.
ANSWER_WITHIN_SECONDS = 2.0
ASK_AGAIN_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that is to end."""

    attempt_id: uuid.UUID
    call_sid: str


class Hangups:
    """Needs the carrier's account: without TWILIO_ACCOUNT_SID `possible` is false and nothing is asked."""

    def __init__(self, settings: Settings, database: Database, hints: Hints, tally: Tally) -> None:
        self.possible = settings.twilio_account_sid is not None
        self._settings = settings
        self._database = database
        self._hints = hints
        self._tally = tally
        self._carrier: Carrier | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[bool]] = set()
        self._answering = 0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Somebody stops a run and counts the calls that end by it: meanwhile `look` takes none of them away."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1

    async def end_calls(self, run_id: int) -> int:
        """Ask for the end of every live call of a run; how many the carrier ended within the answer's time.

        Calls whose SID nobody knows yet are ended when it is. What fails is asked again by `look`.
        """
        try:
            asked = await self._ask_due(run_id)
        except TryAgainLater as away:
            logger().warning("HANG_UP_WAITS", run_id=run_id, error=type(away).__name__)
            return 0
        if not asked:
            return 0
        done, _ = await asyncio.wait(asked, timeout=ANSWER_WITHIN_SECONDS)
        return sum(not task.cancelled() and task.exception() is None and task.result() for task in done)

    def soon(self, call: LiveCall) -> None:
        """The SID of a call that is to end was learnt just now."""
        if self.possible:
            self._start(call)

    async def look(self) -> None:
        """Ask for what is due, by whichever control it was requested. Raises DatabaseAway."""
        if self.possible and not self._answering:
            await self._ask_due(None)

    async def close(self) -> None:
        """Stop asking: another control, or the next start of this one, goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._carrier is not None:
            await self._carrier.close()

    async def _ask_due(self, run_id: int | None) -> list[asyncio.Task[bool]]:
        carrier = self._account()
        due = await self._database.rows("take_due_hangups", run_id, ASK_AGAIN_AFTER_SECONDS)
        for row in due:
            if row["account_sid"] != carrier.account_sid:
                logger().warning("HANG_UP_IMPOSSIBLE", call_sid=row["call_sid"], reason="another account")
        return [
            self._start(LiveCall(row["attempt_id"], row["call_sid"]))
            for row in due
            if row["call_sid"] is not None and row["account_sid"] == carrier.account_sid
        ]

    def _start(self, call: LiveCall) -> asyncio.Task[bool]:
        task = asyncio.create_task(self._hang_up(call), name="hang up")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            fault("hang up", error)

    async def _hang_up(self, call: LiveCall) -> bool:
        """Whether this ended the call."""
        try:
            async with self._places:
                ended = await self._account().hang_up(call.call_sid)
                # It was over before, and nobody told us: the callback was lost, or there is none.
                found = None if ended else await self._account().fetch(call.call_sid)
            if found is not None:
                await self._settle(call, found)
        except (CarrierAway, TryAgainLater) as error:
            logger().warning("HANG_UP_FAILED", call_sid=call.call_sid, error=str(error))
            return False
        logger().info("HANG_UP", attempt_id=str(call.attempt_id), call_sid=call.call_sid, ended=ended)
        return ended

    async def _settle(self, call: LiveCall, found: Found) -> None:
        """Write down what the carrier shows of the call."""
        event = CarrierEvent(
            call.attempt_id, found.call_sid, "fetch", None, found.status, duration_seconds=found.duration_seconds
        )
        fact = await self._database.row("take_carrier_event", *event)
        if fact is not None and fact["ended_now"]:
            self._tally.calls[fact["disposition"]] += 1
            self._hints.say(
                Hint(
                    "released",
                    fact["business_id"],
                    run_id=fact["run_id"],
                    attempt_id=str(call.attempt_id),
                    slot=fact["slot"],
                    job_id=fact["job_id"],
                )
            )

    def _account(self) -> Carrier:
        # Built where it is first needed: inside the running loop.
        if self._carrier is None:
            s = self._settings
            self._carrier = Carrier(
                s.twilio_account_sid or "",
                secret(s.twilio_auth_token),
                s.twilio_api_base_url,
                s.callback_base_url,
                min(s.twilio_timeout_seconds, CARRIER_TIMEOUT_SECONDS),
                self._tally,
            )
        return self._carrier
