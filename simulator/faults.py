"""Misbehaviour on demand: a fault says on what, for whom, how often, and what goes wrong."""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from simulator.outcomes import Outcome


class On(StrEnum):
    """Where a fault strikes."""

    CREATE = "create"
    CALL = "call"
    """The course of a call that was accepted: `do` is then `outcome`."""
    FETCH = "fetch"
    LIST = "list"
    UPDATE = "update"
    DELETE = "delete"
    RECORDING = "recording"
    """Recording resources, single or listed."""
    MEDIA = "media"
    ACCOUNT = "account"
    """The account itself and the numbers that it may call from."""
    CALLBACK = "callback"


class Do(StrEnum):
    """What goes wrong."""

    ERROR = "error"
    """Answer `status` with a JSON error body of `code` and `message`, `Retry-After` if `retry_after`."""
    HTML = "html"
    """Answer `status` with a page of HTML, as a broken gateway would."""
    DROP = "drop"
    """Close the connection without a byte."""
    CUT = "cut"
    """The right answer, but the connection closes half way through its body."""
    TRUNCATE = "truncate"
    """The right status, half a body, and a Content-Length that fits that half."""
    STALL = "stall"
    """The right answer, but nothing for `seconds` (as with slow) half way through its body."""
    SLOW = "slow"
    """Answer after `seconds` (default: the setting `slow_answer_seconds`)."""
    REDIRECT = "redirect"
    """Answer `status` (307) with `location` (default: the same URL)."""
    CALLBACK_FIRST = "callback_first"
    """Create: hold the answer until the callback of `event` (default: the first one) was delivered."""
    OUTCOME = "outcome"
    """Call: it goes as `outcome` says, whatever script and digits say."""
    DUPLICATE = "duplicate"
    """Callback: posted `copies` more times."""
    LOSE = "lose"
    """Callback: never posted."""
    LATE = "late"
    """Callback: posted `seconds` later."""
    REORDER = "reorder"
    """Callback: posted only after the next event of its call. Terminal events have no next one."""


_ON_CALLBACK = {Do.DUPLICATE, Do.LOSE, Do.LATE, Do.REORDER}
_ON_REST = {Do.ERROR, Do.HTML, Do.DROP, Do.CUT, Do.TRUNCATE, Do.STALL, Do.SLOW, Do.REDIRECT}
_POSSIBLE: dict[On, set[Do]] = {
    **dict.fromkeys(On, _ON_REST),
    On.CREATE: _ON_REST | {Do.CALLBACK_FIRST},
    On.CALL: {Do.OUTCOME},
    On.CALLBACK: _ON_CALLBACK,
}
_DEFAULT_STATUS = {Do.ERROR: 500, Do.HTML: 502, Do.REDIRECT: 307}
_REFUSED_BY_DEFAULT = {Do.ERROR, Do.HTML, Do.REDIRECT}


@checked(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Fault:
    """One misbehaviour.

    It strikes where `on` says, if `to`, `from_number`, `attempt`, `event` and `kind` (as far as given) fit,
    with `probability`, `times` times (None: until reset). Raises ValueError for a `do` that `on` cannot have.
    """

    on: On
    do: Do
    times: int | None = Field(default=1, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    to: str | None = None
    from_number: str | None = None
    attempt: str | None = None
    event: str | None = None
    """Callbacks: `initiated`, `ringing`, `answered`, `completed`; of recordings `in-progress`, `completed`."""
    kind: Literal["status", "recording", "amd"] | None = None
    """Callbacks: which family; None is any."""

    accept: bool | Literal["late"] | None = None
    """Create: whether the call is really placed: before the fault strikes (true), never (false), or only
    after its `seconds` have passed (`"late"`). None: false for error, html and redirect, else true."""
    status: int | None = Field(default=None, ge=300, le=599)
    code: int | None = None
    message: str | None = None
    retry_after: float | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)
    """Waited before the answer, with any `do` but stall; of a late callback, how late (default 1)."""
    location: str | None = None
    outcome: Outcome | None = None
    copies: int = Field(default=1, ge=1)

    def __post_init__(self) -> None:
        if self.do not in _POSSIBLE[self.on]:
            raise ValueError(f"{self.do} is not possible on {self.on}")
        if (self.do is Do.OUTCOME) != (self.outcome is not None):
            raise ValueError("outcome belongs to do=outcome, and only there")

    @property
    def http_status(self) -> int:
        return self.status or _DEFAULT_STATUS.get(self.do, 500)

    @property
    def accepts(self) -> bool | Literal["late"]:
        return self.do not in _REFUSED_BY_DEFAULT if self.accept is None else self.accept


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something a fault may strike."""

    on: On
    to: str = ""
    from_number: str = ""
    attempt: str | None = None
    event: str | None = None
    kind: str | None = None


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int | None


@dataclass(slots=True)
class Faults:
    """The faults that are armed, oldest first."""

    randomness: random.Random
    _armed: list[_Armed] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        self._armed.append(_Armed(fault, fault.times))

    def clear(self) -> None:
        self._armed.clear()

    def armed(self) -> list[tuple[Fault, int | None]]:
        """Each with how many times it will still strike."""
        return [(one.fault, one.left) for one in self._armed]

    def strike(self, occasion: Occasion) -> Fault | None:
        """The first fault that strikes here, and is thereby used up once."""
        return next(iter(self.strike_all(occasion, at_most=1)), None)

    def strike_all(self, occasion: Occasion, at_most: int | None = None) -> list[Fault]:
        struck: list[Fault] = []
        for one in list(self._armed):
            if len(struck) == at_most:
                break
            if _fits(one.fault, occasion) and self._happens(one.fault):
                struck.append(one.fault)
                self._use_up(one)
        return struck

    def _happens(self, fault: Fault) -> bool:
        return fault.probability >= 1 or self.randomness.random() < fault.probability

    def _use_up(self, one: _Armed) -> None:
        if one.left is not None:
            one.left -= 1
            if one.left == 0:
                self._armed.remove(one)


def _fits(fault: Fault, occasion: Occasion) -> bool:
    if fault.on is not occasion.on or (fault.kind or occasion.kind) != occasion.kind:
        return False
    return all(
        wanted is None or wanted == found
        for wanted, found in (
            (fault.to, occasion.to),
            (fault.from_number, occasion.from_number),
            (fault.attempt, occasion.attempt),
            # With a create, the event says what to wait for, not what to strike.
            (fault.event if fault.on is On.CALLBACK else None, occasion.event),
        )
    )
