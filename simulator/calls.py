"""A call: the states it may pass through, what was ordered, and what became of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING

from simulator.outcomes import Plan

if TYPE_CHECKING:
    from simulator.recordings import Recording


class Status(StrEnum):
    """The carrier's words for the state of a call."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"


_UNANSWERED_ENDS = frozenset({Status.BUSY, Status.NO_ANSWER, Status.FAILED, Status.CANCELED})

NEXT: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.INITIATED, Status.FAILED, Status.CANCELED}),
    Status.INITIATED: frozenset({Status.RINGING, Status.IN_PROGRESS}) | _UNANSWERED_ENDS,
    Status.RINGING: frozenset({Status.IN_PROGRESS}) | _UNANSWERED_ENDS,
    Status.IN_PROGRESS: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset(),
    Status.BUSY: frozenset(),
    Status.NO_ANSWER: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}
"""The whole state machine: which states may follow which."""

_EVENT = {Status.INITIATED: "initiated", Status.RINGING: "ringing", Status.IN_PROGRESS: "answered"}
_SIP_CODE = {
    Status.COMPLETED: 200,
    Status.BUSY: 486,
    Status.NO_ANSWER: 487,
    Status.FAILED: 404,
    Status.CANCELED: 487,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a valid create request asked for."""

    to: str
    from_number: str
    timeout_seconds: int
    time_limit_seconds: int
    parameters: tuple[tuple[str, str], ...]
    """Everything as it was posted, repeated keys repeated."""
    url: str | None = None
    method: str = "POST"
    status_callback: str | None = None
    status_callback_method: str = "POST"
    status_events: frozenset[str] = frozenset({"completed"})
    record: bool = False
    recording_channels: str = "mono"
    recording_callback: str | None = None
    recording_callback_method: str = "POST"
    recording_events: frozenset[str] = frozenset({"completed"})
    machine_detection: str | None = None
    async_amd: bool = False
    amd_callback: str | None = None
    amd_callback_method: str = "POST"
    attempt: str | None = None
    """The caller's own id of this attempt: the query parameter `attempt` of its callback URL."""


@dataclass(slots=True, eq=False)
class Call:
    """One call. `created`, `departs`, `answered` and `ended` are on the loop's monotonic clock, in seconds."""

    sid: str
    account_sid: str
    order: Order
    plan: Plan
    created: float
    departs: float
    created_at: datetime
    updated_at: datetime
    queue_time_ms: int = 0
    status: Status = Status.QUEUED
    started_at: datetime | None = None
    answered: float | None = None
    ended: float | None = None
    ended_at: datetime | None = None
    answered_by: str | None = None
    error_code: int | None = None
    visible: bool = True
    recording: "Recording | None" = None
    events_counted: int = 0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def move(self, status: Status, now: float) -> None:
        """Passes to the next state; an illegal one is a fault of this program."""
        if status not in NEXT[self.status]:
            raise AssertionError(f"a call cannot pass from {self.status} to {status}")
        self.status = status
        self.updated_at = datetime.now(UTC)
        if status is Status.INITIATED:
            self.started_at = self.updated_at
        elif status is Status.IN_PROGRESS:
            self.answered = now
        elif not NEXT[status]:
            self.ended, self.ended_at = now, self.updated_at

    @property
    def live(self) -> bool:
        return bool(NEXT[self.status])

    @property
    def event(self) -> str:
        """The status callback event of the present state."""
        return _EVENT.get(self.status, "completed")

    @property
    def rest_status(self) -> str:
        """REST never says `initiated`."""
        return Status.QUEUED if self.status is Status.INITIATED else self.status

    @property
    def duration_seconds(self) -> int:
        """Of an ended call, started seconds counted; 0 if it was never answered."""
        if self.answered is None or self.ended is None:
            return 0
        return max(1, ceil(self.ended - self.answered))

    @property
    def sip_code(self) -> int:
        return self.plan.sip_code or _SIP_CODE.get(self.status, 200)

    def count_event(self) -> int:
        """The next SequenceNumber: every event takes one, subscribed to or not."""
        self.events_counted += 1
        return self.events_counted - 1

    def stop_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()
