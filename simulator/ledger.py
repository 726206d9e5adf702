"""The evidence: what was asked of the carrier, what it really did, and what it told of it.

All times are seconds of the system's monotonic clock (`time.monotonic()`), which processes of one machine
share.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulator.calls import Call
from simulator.events import Post


@dataclass(slots=True)
class Arrival:
    """One create request. `verdict` is `accepted` or `refused`; `pending` until that is settled."""

    at: float
    to: str
    from_number: str
    attempt: str | None
    verdict: str = "pending"
    sid: str | None = None
    status: int | None = None
    """Of the answer; None while there is none, and for ever if the connection was dropped."""
    code: int | None = None
    fault: str | None = None


@dataclass(slots=True)
class Placed:
    """One call that was really placed; live from `created` until `ended`."""

    sid: str
    to: str
    from_number: str
    attempt: str | None
    created: float
    departs: float
    status: str = "queued"
    started: float | None = None
    answered: float | None = None
    ended: float | None = None


@dataclass(slots=True)
class Delivery:
    """One callback (each duplicate is one of its own). `outcome`: pending, delivered, dropped or lost."""

    kind: str
    event: str
    sid: str
    attempt: str | None
    call_status: str
    sequence: int | None
    terminal: bool
    occurred: float
    outcome: str = "pending"
    tries: int = 0
    sent: float | None = None
    """The start of the last try; of the one that was answered, if any was."""
    answered: float | None = None
    http_status: int | None = None
    error: str | None = None


@dataclass(slots=True)
class MediaRead:
    """One request for the sound of a recording. `whole`: all of it went out, from the first byte to the last."""

    recording_sid: str
    call_sid: str
    at: float
    method: str
    authorized: bool
    ended: float | None = None
    """None while it is being answered, and for ever if the caller went away."""
    status: int | None = None
    whole: bool = False


class Ledger:
    """Never forgets, until it is cleared."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.calls: dict[str, Placed] = {}
        self.deliveries: list[Delivery] = []
        self.media: list[MediaRead] = []
        self.live_now = 0
        self.delivered = 0

    def arrive(self, at: float, to: str, from_number: str, attempt: str | None) -> Arrival:
        arrival = Arrival(at, to, from_number, attempt)
        self.arrivals.append(arrival)
        return arrival

    def place(self, call: Call) -> None:
        order = call.order
        self.calls[call.sid] = Placed(
            call.sid, order.to, order.from_number, order.attempt, call.created, call.departs
        )
        self.live_now += 1

    def follow(self, call: Call, now: float, *, vanished: bool = False) -> None:
        """The call has moved on."""
        if not call.live:
            self.live_now -= 1
        placed = self.calls.get(call.sid)
        if placed is None:  # cleared while the call was live
            return
        placed.status = "vanished" if vanished else call.status
        if call.status == "initiated":
            placed.started = now
        placed.answered, placed.ended = call.answered, call.ended

    def deliver(self, post: Post) -> Delivery:
        sequence = post.fields.get("SequenceNumber")
        delivery = Delivery(
            post.kind,
            post.event,
            post.call.sid,
            post.call.order.attempt,
            post.call.status,
            int(sequence) if sequence else None,
            post.terminal,
            time.monotonic(),
        )
        self.deliveries.append(delivery)
        return delivery

    def settle(self, delivery: Delivery, outcome: str) -> None:
        delivery.outcome = outcome
        self.delivered += outcome == "delivered"

    def clear(self) -> None:
        """Forgets all but the calls that are still live."""
        self.arrivals.clear()
        self.deliveries.clear()
        self.media.clear()
        self.delivered = 0
        self.calls = {sid: placed for sid, placed in self.calls.items() if placed.ended is None}

    def calls_per_attempt(self) -> dict[str, int]:
        """Of every attempt id seen. Calls without one are not in it: see `without_attempt`."""
        return dict(Counter(placed.attempt for placed in self.calls.values() if placed.attempt is not None))

    def most_calls_of_an_attempt(self) -> int:
        return max(self.calls_per_attempt().values(), default=0)

    def without_attempt(self) -> int:
        return sum(placed.attempt is None for placed in self.calls.values())

    def calls_per_number(self) -> dict[str, int]:
        return dict(Counter(placed.to for placed in self.calls.values()))

    def media_of(self, recording_sid: str) -> list[MediaRead]:
        """The requests for the sound of a recording that were answered with it, in part or whole."""
        return [one for one in self.media if one.recording_sid == recording_sid and one.method == "GET"]

    def most_live(self) -> int:
        """The most calls live at one moment."""
        return most_at_once(self.calls.values())

    def most_live_by_group(self, groups: Mapping[str, str] | None = None) -> dict[str, int]:
        """The same per business: `groups` names the one of a From number; else the number is its name."""
        named = groups or {}
        by_group: dict[str, list[Placed]] = {}
        for placed in self.calls.values():
            by_group.setdefault(named.get(placed.from_number, placed.from_number), []).append(placed)
        return {group: most_at_once(calls) for group, calls in by_group.items()}

    def create_times(self) -> list[float]:
        return sorted(arrival.at for arrival in self.arrivals)

    def terminal_deliveries(self) -> list[Delivery]:
        """The status callbacks that told of an end: `sent` and `answered` say when."""
        return [one for one in self.deliveries if one.terminal and one.kind == "status"]


def most_at_once(calls: Iterable[Placed]) -> int:
    """A call that ends in the very instant in which another begins does not overlap it."""
    steps: list[tuple[float, int]] = []
    for placed in calls:
        steps.append((placed.created, 1))
        if placed.ended is not None:
            steps.append((placed.ended, -1))
    steps.sort()
    most = live = 0
    for _, step in steps:
        live += step
        most = max(most, live)
    return most
