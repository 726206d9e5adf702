"""What a look in the carrier's list says of an attempt whose create has no known outcome."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Verdict:
    """bind: this SID is it. end: nobody can tell. doubt: something is there, unclear. wait: look again."""

    do: Literal["bind", "end", "doubt", "wait"]
    call_sid: str | None = None


def of_list(
    candidates: tuple[str, ...], *, rivals: int, seen_before: bool, covered: bool, overdue: bool
) -> Verdict:
    """Decide after a look-up that succeeded.

    `candidates`: calls to this number from this caller ID since the intent, which no attempt owns. `rivals`:
    other attempts of which the same is unknown. `covered`: the look-up came so late that a call would show.
    `overdue`: even a call that was placed has ended by now.
    """
    if len(candidates) == 1 and rivals == 0:
        return Verdict("bind", candidates[0])
    if overdue:
        return Verdict("end")
    if candidates:
        return Verdict("doubt")
    if covered and not seen_before:
        return Verdict("end")
    return Verdict("wait")
