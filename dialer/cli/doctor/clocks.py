"""Clocks: this machine's, Postgres's and Redis's."""

from collections.abc import Awaitable, Callable

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View
from dialer.edges.carrier import CLOCK_SKEW

CHECK = "clocks"
# Look-ups compare the carrier's dates with Postgres's: further apart, and a call is taken for an older one.
MOST_SECONDS = CLOCK_SKEW.total_seconds()
NOTABLE_SECONDS = 1.0


async def look(view: View) -> list[Finding]:
    found = []
    if view.inspection is not None:
        found.append(judge("Postgres", await _apart(view.clock, view.inspection.clock), MOST_SECONDS))
    if view.redis is not None:
        # Redis's clock is compared with itself alone.
        found.append(judge("Redis", await _apart(view.clock, view.redis.clock), float("inf")))
    return found


async def _apart(ours: Callable[[], float], theirs: Callable[[], Awaitable[float]]) -> float:
    before = ours()
    seen = await theirs()
    return apart(before, seen, ours())


def apart(before: float, seen: float, after: float) -> float:
    """By how many seconds their clock is ahead (negative: behind), less what the way there and back may explain."""
    if before <= seen <= after:
        return 0.0
    return seen - after if seen > after else seen - before


def judge(whose: str, seconds: float, most: float) -> Finding:
    check, distance = f"{CHECK}: {whose.lower()}", abs(seconds)
    if distance < NOTABLE_SECONDS:
        return ok(check, f"{whose}'s agrees with this machine's")
    found = f"{whose}'s is {distance:.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    advice = "let chrony or systemd-timesyncd keep both machines' clocks"
    if distance >= most:
        why = f"beyond {most:g} s a call whose fate is unknown may not be found in the carrier's list"
        return fail(check, found, f"{advice}: {why}")
    return warn(check, found, f"{advice}: delays are measured wrongly")
