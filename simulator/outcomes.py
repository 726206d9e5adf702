"""What happens to a call: decided by a fault, else by a script for the number, else by its last digits.

The table of the last two digits of `To`:

    00-79   answered by a person
    80-84   answered by a machine (call status `completed`; AMD, when asked for, says so)
    85-89   busy
    90-94   no answer
    95-97   failed
    98      the create is refused: 400, code 21211 (the number is not valid)
    99      answered by a person, and `ringing` is skipped
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from simulator.settings import Settings

ANY_NUMBER = "*"


class Outcome(StrEnum):
    """How a call goes."""

    ANSWERED = "answered"
    ANSWERED_AT_ONCE = "answered_at_once"
    """Answered without ringing first."""
    MACHINE = "machine"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    STUCK = "stuck"
    """Answered, and never ends by itself: not even at its `TimeLimit`."""
    RINGS_FOREVER = "rings_forever"
    """Rings and rings, past its `Timeout`."""
    VANISH = "vanish"
    """Drops out of the queue: `failed` when fetched, and no callback ever."""
    GONE = "gone"
    """Drops out of the queue and out of sight: 404 when fetched, not listed, no callback ever."""
    INVALID = "invalid"
    """The create is refused with 400/21211."""


@checked(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Plan:
    """The course of one call. Times in seconds; None means the setting's value, with its jitter."""

    outcome: Outcome
    ring_seconds: float | None = Field(default=None, ge=0)
    talk_seconds: float | None = Field(default=None, ge=0)
    answered_by: str | None = None
    """The verdict of machine detection, should it be asked for."""
    sip_code: int | None = None


_BY_LAST_DIGITS: tuple[tuple[range, Outcome], ...] = (
    (range(80), Outcome.ANSWERED),
    (range(80, 85), Outcome.MACHINE),
    (range(85, 90), Outcome.BUSY),
    (range(90, 95), Outcome.NO_ANSWER),
    (range(95, 98), Outcome.FAILED),
    (range(98, 99), Outcome.INVALID),
    (range(99, 100), Outcome.ANSWERED_AT_ONCE),
)


def by_last_digits(number: str) -> Outcome:
    """The outcome that the table above gives a number; anything without two digits is answered."""
    ending = number[-2:]
    if not ending.isdecimal():
        return Outcome.ANSWERED
    return next(outcome for digits, outcome in _BY_LAST_DIGITS if int(ending) in digits)


@dataclass(slots=True)
class _Script:
    plans: deque[Plan]
    repeat_last: bool

    def take(self) -> Plan | None:
        if len(self.plans) == 1 and self.repeat_last:
            return self.plans[0]
        return self.plans.popleft() if self.plans else None


@dataclass(slots=True)
class Scripts:
    """Plans laid down for numbers: one per call, in order; `*` stands for any number without its own."""

    _scripts: dict[str, _Script] = field(default_factory=dict)

    def lay_down(self, to: str, plans: list[Plan], *, repeat_last: bool = False) -> None:
        """The next calls to `to` go by these plans, then (unless the last repeats) as if unscripted."""
        self._scripts[to] = _Script(deque(plans), repeat_last)

    def always(self, outcome: Outcome, to: str = ANY_NUMBER) -> None:
        self.lay_down(to, [Plan(outcome)], repeat_last=True)

    def clear(self) -> None:
        self._scripts.clear()

    def next_plan(self, to: str, settings: Settings) -> Plan:
        for key in (to, ANY_NUMBER):
            script = self._scripts.get(key)
            plan = script.take() if script else None
            if plan is not None:
                return plan
        return Plan(by_last_digits(to) if settings.digits_decide else Outcome.ANSWERED)
