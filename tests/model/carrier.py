"""The truth: which calls were asked for, which exist, and what the carrier says of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

RING_SECONDS = 30.0
TALK_SECONDS = 600.0
LAG_SECONDS = 60.0
# From the intent's commit to the call's existence. Less than the ring time-out: a look-up after ring time-out and
# lag that shows no call proves that there is none.
LANDS_WITHIN_SECONDS = 28.0
# The carrier's clock is not ours (see `dialer.edges.carrier`).
SKEW_SECONDS = 5.0

AFTER = {
    "queued": ("initiated", "failed", "canceled"),
    "initiated": ("ringing", "busy", "failed", "no-answer"),
    "ringing": ("in-progress", "busy", "no-answer", "failed", "canceled"),
    "in-progress": ("completed",),
}


@dataclass
class Request:
    """A create on the wire, asked for under an intent of that moment."""

    attempt: UUID
    job: int
    to: str
    intended_at: float


@dataclass
class Call:
    """A call that exists. `said` are the statuses it has callbacks for, in order; their sequence is the index."""

    sid: str
    attempt: UUID
    job: int
    to: str
    created_at: float
    status: str = "queued"
    answered_at: float | None = None
    said: list[str] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return self.status in AFTER

    def move(self, status: str, now: float) -> None:
        """The call goes on."""
        assert status in AFTER[self.status]
        self.status = status
        self.said.append(status)
        if status == "in-progress":
            self.answered_at = now

    def end(self, now: float) -> None:
        """The shortest way to its end."""
        if self.is_live:
            self.move(AFTER[self.status][-1] if self.status != "queued" else "failed", now)
        if self.is_live:
            self.end(now)


class Carrier:
    """The ledger. `sent` are all creates ever sent, `wire` those that are not decided yet."""

    def __init__(self) -> None:
        self.sent: list[Request] = []
        self.wire: list[Request] = []
        self.calls: dict[str, Call] = {}

    def receive(self, request: Request) -> None:
        """A create leaves for the carrier."""
        self.sent.append(request)
        self.wire.append(request)

    def place(self, request: Request, now: float) -> Call:
        """A create becomes a call."""
        self.wire.remove(request)
        sid = f"CA{len(self.calls) + 1:032d}"
        self.calls[sid] = Call(sid, request.attempt, request.job, request.to, now)
        return self.calls[sid]

    def drop(self, request: Request) -> None:
        """A create will never be a call."""
        self.wire.remove(request)

    def live(self) -> list[Call]:
        return [c for c in self.calls.values() if c.is_live]

    def talkative(self) -> list[Call]:
        """Calls with something to say."""
        return [c for c in self.calls.values() if c.said]

    def creates_of_attempts(self) -> Counter[UUID]:
        return Counter(r.attempt for r in self.sent)

    def calls_of_jobs(self) -> Counter[int]:
        return Counter(c.job for c in self.calls.values())

    def must_land_before(self, now: float) -> list[Request]:
        """Creates that cannot be on the wire any more at that moment."""
        return [r for r in self.wire if now > r.intended_at + LANDS_WITHIN_SECONDS]

    def let_time_pass(self, now: float) -> None:
        """Calls ring and talk only so long."""
        for call in self.live():
            rings_until = call.created_at + RING_SECONDS
            talks_until = None if call.answered_at is None else call.answered_at + TALK_SECONDS
            if now >= (talks_until or rings_until):
                call.end(now)

    def shown(self, to: str, since: float, now: float, *, young: bool) -> dict[str, str]:
        """The list of calls to a number, SID -> status. `young`: shows those within the lag as well."""
        return {
            c.sid: c.status
            for c in self.calls.values()
            if c.to == to and c.created_at >= since - SKEW_SECONDS and self._shows(c, now, young)
        }

    def fetched(self, sid: str, now: float, *, young: bool) -> str | None:
        """The status of a call; None when the carrier does not know it yet."""
        call = self.calls.get(sid)
        return call.status if call is not None and self._shows(call, now, young) else None

    def _shows(self, call: Call, now: float, young: bool) -> bool:
        return young or now >= call.created_at + LAG_SECONDS
