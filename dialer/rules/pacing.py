"""Pacing without Redis: each daemon takes its share of the account's rate."""

from dataclasses import dataclass


@dataclass(slots=True)
class LocalPace:
    """A bucket that holds one, for this process alone. Times are seconds on the caller's clock."""

    next_at: float = 0.0

    def take(self, now: float, calls_per_second: float, daemons: int) -> float:
        """The moment at which the next create may be sent."""
        moment = max(self.next_at, now)
        self.next_at = moment + max(daemons, 1) / calls_per_second
        return moment
