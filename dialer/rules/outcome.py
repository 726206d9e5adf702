"""What came of a create request, as a value; and which answer of the carrier means which.

The table follows the carrier's error dictionary. Its consequence is what matters: only an answer that
certainly means "no call was made" lets a job be dialed again; whatever is in doubt is Unknown, and is never
sent again.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Placed:
    """A call exists. `queue_time_ms`: how long it waits at the carrier (more than 0: we are paced too fast)."""

    call_sid: str
    queue_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """Certainly no call; ask again later. `retry_after_seconds` is the carrier's own wish, if it had one."""

    reason: str
    code: int | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly no call, and no use in asking again for this job. `configuration`: our settings are at fault."""

    disposition: Literal["invalid_number", "failed"]
    code: int | None
    reason: str
    configuration: bool


@dataclass(frozen=True, slots=True)
class AccountRefused:
    """The account may not call at all just now. The job is not to blame and stays queued."""

    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """There may be a call. Hold the slot, reconcile, never send again."""

    reason: str
    code: int | None = None


Outcome = Placed | NotProcessed | Refused | AccountRefused | Unknown

# https://www.twilio.com/docs/api/errors
NUMBER_IS_BAD = frozenset({21211, 21217, 21214, 21216, 21202, 21203, 21201})
ACCOUNT_IS_REFUSED = frozenset({20003, 20005, 20006, 20010, 20403, 10001, 10002, 20008})
TOO_MANY_REQUESTS = 20429
# The URL was not valid "or the call is not in the right state": documented both ways, so it proves nothing.
AMBIGUOUS = frozenset({21204})


def of_answer(http_status: int, code: int | None, retry_after_seconds: float | None = None) -> Outcome:
    """The outcome of a create that was answered with something else than a readable 201."""
    if http_status == 429 or code == TOO_MANY_REQUESTS:
        return NotProcessed("too many requests", code or TOO_MANY_REQUESTS, retry_after_seconds)
    if code in AMBIGUOUS or not 400 <= http_status < 500:
        return Unknown(f"HTTP {http_status}", code)
    if code in NUMBER_IS_BAD:
        return Refused("invalid_number", code, "the carrier refuses the number", configuration=False)
    if code in ACCOUNT_IS_REFUSED or (code is None and http_status in (401, 403)):
        return AccountRefused(code, "the carrier refuses the account")
    return Refused("failed", code, f"the carrier refuses the request (HTTP {http_status})", configuration=True)
