"""The telephone exchange: places calls and moves each one through its life, by timers."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from simulator.callbacks import Callbacks
from simulator.calls import Call, Order, Status
from simulator.changes import Changes, Chores
from simulator.events import amd_post, recording_post, status_post, twiml_post
from simulator.faults import Faults, Occasion, On
from simulator.ledger import Ledger
from simulator.outcomes import Outcome, Plan, Scripts
from simulator.recordings import Recording
from simulator.refusals import NOT_CANCELABLE, Refusal
from simulator.settings import Panel

_UNREACHABLE_TWIML = 11200
_TOO_MANY_CALLS = 10004
_UNANSWERED = {Outcome.NO_ANSWER, Outcome.RINGS_FOREVER}
_VANISHING = {Outcome.VANISH, Outcome.GONE}


class Exchange:
    """All calls of the account, by SID, in the order of their creation."""

    def __init__(
        self,
        panel: Panel,
        faults: Faults,
        scripts: Scripts,
        callbacks: Callbacks,
        ledger: Ledger,
        changes: Changes,
        chores: Chores,
        randomness: random.Random,
    ) -> None:
        self._panel, self._faults, self._scripts = panel, faults, scripts
        self._callbacks, self._ledger = callbacks, ledger
        self._changes, self._chores, self._randomness = changes, chores, randomness
        self._last_departure = float("-inf")
        self._lines_busy = 0
        self._by_number: dict[str, dict[str, Call]] = {}
        self.calls: dict[str, Call] = {}
        self.recordings: dict[str, Recording] = {}
        self.base_url = ""

    def plan(self, order: Order) -> Plan:
        """How a call will go: a fault decides first, then a script, then the number's last digits."""
        occasion = Occasion(On.CALL, order.to, order.from_number, order.attempt)
        fault = self._faults.strike(occasion)
        if fault is not None and fault.outcome is not None:
            return Plan(fault.outcome)
        return self._scripts.next_plan(order.to, self._panel.settings)

    def place(self, order: Order, plan: Plan) -> Call:
        """Accepts a call; from here on it lives whether or not anybody hears of it."""
        settings, now = self._panel.settings, time.monotonic()
        departs, moment = self._departure(now), datetime.now(UTC)
        call = Call(
            sid=f"CA{uuid.uuid4().hex}",
            account_sid=settings.account_sid,
            order=order,
            plan=plan,
            created=now,
            departs=departs,
            created_at=moment,
            updated_at=moment,
            queue_time_ms=round((departs - now) * 1000),
        )
        self.calls[call.sid] = call
        self._by_number.setdefault(order.to, {})[call.sid] = call
        self._ledger.place(call)
        if departs - now > settings.queue_limit_seconds:
            self._later(call, settings.queue_limit_seconds, lambda: self._vanish(call))
        else:
            leaving = self._vanish if plan.outcome in _VANISHING else self._initiate
            self._later(call, departs - now + self._about(settings.queue_seconds), lambda: leaving(call))
        self._changes.mark()
        return call

    def cancel(self, call: Call) -> Refusal | None:
        """As `Status=canceled`: possible until the call is answered. Out of the queue it goes silently."""
        if not call.live or call.status is Status.IN_PROGRESS:
            return NOT_CANCELABLE
        self._end(call, Status.CANCELED, silently=call.status is Status.QUEUED)
        return None

    def hang_up(self, call: Call) -> Refusal | None:
        """As `Status=completed`: ends a call at any time, as `canceled` if nobody had answered."""
        if call.status is Status.IN_PROGRESS:
            self._end(call, Status.COMPLETED)
            return None
        return self.cancel(call)

    def callee_hangs_up(self, call: Call) -> bool:
        """Whether there was somebody to do it: declines a ringing call, ends an answered one."""
        if call.status is Status.IN_PROGRESS:
            self._end(call, Status.COMPLETED)
        elif call.status in (Status.INITIATED, Status.RINGING):
            self._end(call, Status.BUSY)
        else:
            return False
        return True

    def calls_to(self, number: str | None) -> list[Call]:
        """All calls to a number (None: all there are), oldest first."""
        return list((self.calls if number is None else self._by_number.get(number, {})).values())

    def forget(self, call: Call) -> None:
        """An ended call is no longer there for REST."""
        self.calls.pop(call.sid, None)
        self._by_number[call.order.to].pop(call.sid, None)

    def recording_url(self, recording: Recording) -> str:
        return self.base_url + recording.path

    def stop(self) -> None:
        for call in self.calls.values():
            call.stop_timers()

    def _departure(self, now: float) -> float:
        """When a call created now may leave the queue: one after the other, at the account's rate."""
        rate = self._panel.settings.calls_per_second
        if rate <= 0:
            return now
        self._last_departure = max(now, self._last_departure + 1 / rate)
        return self._last_departure

    def _about(self, seconds: float) -> float:
        jitter = self._panel.settings.jitter
        return seconds * self._randomness.uniform(1 - jitter, 1 + jitter) if jitter else seconds

    def _later(self, call: Call, seconds: float, action: Callable[[], None]) -> None:
        call.timers.append(asyncio.get_running_loop().call_later(seconds, action))

    def _move(self, call: Call, status: Status) -> None:
        now = time.monotonic()
        call.move(status, now)
        self._ledger.follow(call, now)
        self._tell_status(call)
        self._changes.mark()

    def _tell_status(self, call: Call) -> None:
        sequence = call.count_event()
        url = self.recording_url(call.recording) if call.recording else ""
        post = status_post(call, sequence, url)
        if post is not None:
            self._callbacks.tell(post)

    def _initiate(self, call: Call) -> None:
        settings, outcome = self._panel.settings, call.plan.outcome
        self._lines_busy += 1
        self._move(call, Status.INITIATED)
        if 0 < settings.max_concurrent_calls < self._lines_busy:
            call.error_code = _TOO_MANY_CALLS
            self._end(call, Status.BUSY)
            return
        setup = self._about(settings.setup_seconds)
        if outcome is Outcome.FAILED:
            self._later(call, setup, lambda: self._end(call, Status.FAILED))
        elif outcome is Outcome.ANSWERED_AT_ONCE:
            self._later(call, setup, lambda: self._answer(call))
        else:
            self._later(call, setup, lambda: self._ring(call))

    def _ring(self, call: Call) -> None:
        settings, plan, timeout = self._panel.settings, call.plan, call.order.timeout_seconds
        self._move(call, Status.RINGING)
        rings = self._about(settings.ring_seconds) if plan.ring_seconds is None else plan.ring_seconds
        if plan.outcome is Outcome.RINGS_FOREVER:
            return
        if plan.outcome in _UNANSWERED or rings > timeout:
            patience = self._about(settings.no_answer_seconds) if plan.ring_seconds is None else rings
            self._later(call, min(timeout, patience), lambda: self._end(call, Status.NO_ANSWER))
        elif plan.outcome is Outcome.BUSY:
            self._later(call, rings, lambda: self._end(call, Status.BUSY))
        else:
            self._later(call, rings, lambda: self._answer(call))

    def _answer(self, call: Call) -> None:
        order = call.order
        if order.record:
            self._start_recording(call)
        self._move(call, Status.IN_PROGRESS)
        if order.machine_detection:
            self._later(call, self._about(self._panel.settings.amd_seconds), lambda: self._judge(call))
        if not order.machine_detection or order.async_amd:
            self._converse(call)

    def _judge(self, call: Call) -> None:
        """Machine detection reaches its verdict; unless asynchronous, only now the call goes on."""
        call.answered_by = call.plan.answered_by or _verdict(call)
        if call.order.async_amd:
            self._tell_verdict(call)
        else:
            self._converse(call)

    def _tell_verdict(self, call: Call) -> None:
        taken = time.monotonic() - (call.answered or call.created)
        post = amd_post(call, round(taken * 1000))
        if post is not None:
            self._callbacks.tell(post)

    def _converse(self, call: Call) -> None:
        if call.order.url is None:
            self._talk(call)
        else:
            self._chores.start(self._fetch_instructions(call))

    async def _fetch_instructions(self, call: Call) -> None:
        post = twiml_post(call)
        understood = post is not None and await self._callbacks.ask(post)
        if call.status is not Status.IN_PROGRESS:
            return
        if understood:
            self._talk(call)
        else:
            call.error_code = _UNREACHABLE_TWIML
            self._end(call, Status.COMPLETED)

    def _talk(self, call: Call) -> None:
        plan = call.plan
        if plan.outcome is Outcome.STUCK:
            return
        usual = self._about(self._panel.settings.talk_seconds)
        seconds = usual if plan.talk_seconds is None else plan.talk_seconds
        limit = call.order.time_limit_seconds
        self._later(call, min(seconds, limit), lambda: self._end(call, Status.COMPLETED))

    def _end(self, call: Call, status: Status, *, silently: bool = False) -> None:
        call.stop_timers()
        if call.status is not Status.QUEUED:
            self._lines_busy -= 1
        unjudged = _awaits_verdict(call)
        if unjudged:
            call.answered_by = "unknown"
        if silently:
            self._end_silently(call, status)
        else:
            self._move(call, status)
        if unjudged:
            self._tell_verdict(call)
        if call.recording is not None:
            self._process_recording(call, call.recording)

    def _end_silently(self, call: Call, status: Status, *, vanished: bool = False) -> None:
        now = time.monotonic()
        call.move(status, now)
        self._ledger.follow(call, now, vanished=vanished)
        self._changes.mark()

    def _vanish(self, call: Call) -> None:
        call.visible = call.plan.outcome is not Outcome.GONE
        self._end_silently(call, Status.FAILED, vanished=True)

    def _start_recording(self, call: Call) -> None:
        channels = 2 if call.order.recording_channels == "dual" else 1
        recording = Recording(f"RE{uuid.uuid4().hex}", call.sid, call.account_sid, channels)
        recording.bytes = self._panel.settings.recording_bytes
        call.recording = self.recordings[recording.sid] = recording
        self._tell_recording(call, recording)

    def _process_recording(self, call: Call, recording: Recording) -> None:
        recording.move("processing", call.duration_seconds)
        delay = self._about(self._panel.settings.recording_seconds)
        self._later(call, delay, lambda: self._finish_recording(call, recording))

    def _finish_recording(self, call: Call, recording: Recording) -> None:
        absent = self._panel.settings.recordings_absent
        recording.move("absent" if absent else "completed", call.duration_seconds)
        self._tell_recording(call, recording)
        self._changes.mark()

    def _tell_recording(self, call: Call, recording: Recording) -> None:
        post = recording_post(call, self.recording_url(recording))
        if post is not None:
            self._callbacks.tell(post)


def _awaits_verdict(call: Call) -> bool:
    order = call.order
    asynchronous = order.machine_detection is not None and order.async_amd
    return asynchronous and call.answered is not None and call.answered_by is None


def _verdict(call: Call) -> str:
    if call.plan.outcome is not Outcome.MACHINE:
        return "human"
    return "machine_start" if call.order.machine_detection == "Enable" else "machine_end_beep"
