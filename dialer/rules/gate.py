"""The gate before the carrier, one an account and process: may creates be sent just now?

It closes on trouble that is not the single job's: an account that is refused, too many requests, a carrier
that cannot be reached, several ambiguous answers in a row. After a growing while it lets one create through
as a probe; what comes of it decides.
"""

from dataclasses import dataclass

from dialer.rules.outcome import AccountRefused, NotProcessed, Outcome, Unknown

ACCOUNT_WAIT_SECONDS = (5.0, 60.0)
BUSY_WAIT_SECONDS = (0.5, 30.0)
AMBIGUOUS_WAIT_SECONDS = (2.0, 30.0)
AMBIGUOUS_IN_A_ROW = 3


@dataclass(slots=True)
class Gate:
    """State: closed until a time; after it half open, one probe at a time, until an answer proves the carrier."""

    closed_until: float = 0.0
    failures: int = 0
    ambiguous: int = 0
    probing: bool = False
    reason: str | None = None

    def is_closed(self, now: float) -> bool:
        """No create may be sent: wait, or a probe is under way."""
        return now < self.closed_until or (self.failures > 0 and self.probing)

    def admit(self, wanted: int, now: float) -> int:
        """How many of `wanted` creates may be sent now. One that is admitted while half open is the probe."""
        if self.is_closed(now):
            return 0
        if self.failures == 0:
            return wanted
        self.probing = wanted > 0
        return min(wanted, 1)

    def not_sent(self) -> None:
        """What was admitted was not sent after all: another may probe."""
        self.probing = False

    def heard(self, outcome: Outcome, now: float, jitter: float) -> None:
        """Take in what came of a create. `jitter` 0..1 spreads the next tries of many daemons."""
        self.probing = False
        match outcome:
            case AccountRefused():
                self._close(now, ACCOUNT_WAIT_SECONDS, 0.0, None)
                self.reason = f"carrier {outcome.code or ''}: {outcome.reason}".replace("  ", " ")
            case NotProcessed():
                self._close(now, BUSY_WAIT_SECONDS, jitter, outcome.retry_after_seconds)
            case Unknown():
                self.ambiguous += 1
                if self.ambiguous >= AMBIGUOUS_IN_A_ROW:
                    self._close(now, AMBIGUOUS_WAIT_SECONDS, jitter, None)
            case _:
                self.closed_until, self.failures, self.ambiguous, self.reason = 0.0, 0, 0, None

    def _close(self, now: float, wait: tuple[float, float], jitter: float, wish: float | None) -> None:
        if now < self.closed_until:
            return  # an answer to a create that was sent before the gate closed: it says nothing new
        shortest, longest = wait
        grown = min(shortest * 2**self.failures, longest)
        self.failures = min(self.failures + 1, 16)
        self.closed_until = now + max(wish or 0.0, grown * (1 + 0.25 * jitter))
