"""What a process counts of its own doing since its start: plain numbers, for whoever exports them.

Counting costs an addition and says nothing of any business. A daemon's tally travels as JSON (`snapshot`) into its
row in `dialer_daemons`, where control finds it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Upper bounds in seconds. A freed slot is handed on within a few hundredths; pacing may make it seconds.
HANDOFF_BOUNDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Around one heartbeat a second, up to what costs a lease.
BEAT_BOUNDS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 30.0)


@dataclass(slots=True)
class Histogram:
    """Observations by size: `counts[i]` are those up to `bounds[i]` and above the bound before; the last, the rest."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0  # of everything observed

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def snapshot(self) -> dict[str, Any]:
        """As JSON: the bounds travel too, since another version may have others."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "total": round(self.total, 6)}


class Handovers:
    """Since when slots are free that somebody waits for: from the end of one call to the request for the next."""

    def __init__(self) -> None:
        self.seconds = Histogram(HANDOFF_BOUNDS)
        self._free_since: dict[int, dict[int, float]] = {}

    def freed(self, business_id: int, slot: int, at: float) -> None:
        """A call's end arrived at this moment, and a job waits for its slot."""
        self._free_since.setdefault(business_id, {})[slot] = at

    def requested(self, business_id: int, slot: int, now: float) -> None:
        """A call is asked for in this slot: a hand-over, if the slot had been freed for it."""
        since = self._free_since.get(business_id, {}).pop(slot, None)
        if since is not None:
            self.seconds.observe(max(now - since, 0.0))

    def forget(self, business_id: int | None = None) -> None:
        """Nobody waits any more (of this business), or ends may have been missed: what comes is no hand-over."""
        if business_id is None:
            self._free_since.clear()
        else:
            self._free_since.pop(business_id, None)


@dataclass(slots=True)
class Tally:
    """The counters. Each is changed by one thread alone; `snapshot` may be taken by another."""

    intents: Counter[str] = field(default_factory=Counter)
    """Answers to intents, by verdict (see migration 0004)."""
    creates: Counter[str] = field(default_factory=Counter)
    """Answers to create requests, by class of outcome."""
    calls: Counter[str] = field(default_factory=Counter)
    """Calls (and what may have been one) whose end this process wrote down, by disposition."""
    claims: Counter[str] = field(default_factory=Counter)
    """Runs claimed: `first`, `again` (handed over or resumed), `taken_over` (from a holder that fell silent)."""
    hangups: Counter[str] = field(default_factory=Counter)
    """Requests to end a call: `ended`, `over` (it had ended before), `failed`."""
    drift: Counter[str] = field(default_factory=Counter)
    """Slots that Redis did not show as Postgres has them: `added`, `removed`; and businesses `rebuilt`."""
    recordings: Counter[str] = field(default_factory=Counter)
    """Tries to fetch a recording: `completed`, `again` (later), `not_stored` (later: our store did not take it),
    `absent` (the carrier has none), `failed`."""
    handovers: Handovers = field(default_factory=Handovers)
    beats: Histogram = field(default_factory=lambda: Histogram(BEAT_BOUNDS))
    """Seconds from one committed beat to the next."""

    def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON. Counters are copied in one step each: another thread may be counting."""
        return {
            "counters": {name: dict(counter) for name, counter in self.counters().items()},
            "histograms": {
                "handoff_seconds": self.handovers.seconds.snapshot(),
                "beat_interval_seconds": self.beats.snapshot(),
            },
        }

    def counters(self) -> Mapping[str, Counter[str]]:
        """The counters by name."""
        return {
            "intents": self.intents,
            "creates": self.creates,
            "calls": self.calls,
            "claims": self.claims,
            "hangups": self.hangups,
            "drift": self.drift,
            "recordings": self.recordings,
        }
