"""The work: whether somebody does it, whether it goes on, and what is in doubt."""

from collections.abc import Sequence

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View
from dialer.config import Settings
from dialer.edges.inspection import LivingDaemon, Work

DAEMONS, STALE, WAITING, UNKNOWN = "daemons", "stale runs", "waiting jobs", "unknown attempts"
# Long enough for a claim, a carrier that says "later", and a daemon that is started anew.
IDLE_SECONDS = 60.0


async def look(view: View) -> list[Finding]:
    settings = view.settings
    daemons = await view.postgres.daemons(settings.takeover_after_seconds)
    work = await view.postgres.work(settings.stale_after_seconds)
    return [judge_daemons(daemons), judge_stale(work), judge_waiting(work), judge_unknown(work, longest(settings))]


def longest(settings: Settings) -> float:
    """After so many seconds every unknown attempt has been ended, whatever the carrier answered."""
    ring, talk = settings.ring_timeout_seconds, settings.call_time_limit_seconds
    return ring + talk + settings.carrier_list_lag_seconds


def judge_daemons(daemons: Sequence[LivingDaemon]) -> Finding:
    if not daemons:
        return fail(DAEMONS, "none lives: nothing is dialed", "start one: `dialer serve` with SERVICE_ROLE=worker")
    found = f"{len(daemons)} live"
    degraded = [f"{one.host}/{one.pid}" for one in daemons if one.redis_degraded]
    if degraded:
        return warn(
            DAEMONS,
            f"{found}; without Redis: {', '.join(degraded)}",
            "Redis must be reachable from there: they go on by Postgres alone, slower",
        )
    return ok(DAEMONS, found)


def judge_stale(work: Work) -> Finding:
    if not work.stale_runs:
        return ok(STALE, "none")
    return fail(
        STALE,
        f"running without a heartbeat: {', '.join(map(str, work.stale_runs))}",
        "a daemon should have taken them over, or control have stopped them: is control running, and which daemon "
        "holds them (`dialer runs show ID`)? To stop one by hand: `dialer runs stop ID`",
    )


def judge_waiting(work: Work) -> Finding:
    said = f"; runs say: {' / '.join(work.last_errors)}" if work.last_errors else ""
    waits = work.oldest_waiting_seconds
    found = "none waits" if waits is None else f"the oldest waits for {waits:.0f} s"
    if waits is not None and waits > IDLE_SECONDS and work.live_attempts == 0:
        advice = (
            "see what the runs say" if said else "is a daemon running? See `dialer status` and the daemons' logs"
        )
        return fail(WAITING, f"{found} and no call is being placed{said}", advice)
    if said:
        return warn(WAITING, found + said, "see docs/troubleshooting.md for what a run says")
    return ok(WAITING, f"{found}, {work.live_attempts} call(s) live")


def judge_unknown(work: Work, longest_seconds: float) -> Finding:
    if work.unknown_attempts == 0:
        return ok(UNKNOWN, "none")
    oldest = work.oldest_unknown_seconds or 0.0
    found = f"{work.unknown_attempts}, the oldest for {oldest:.0f} s: nobody knows yet whether there is a call"
    if oldest > longest_seconds:
        return fail(
            UNKNOWN,
            found,
            "they should have been ended: does a daemon live, and does the carrier answer look-ups?",
        )
    return warn(UNKNOWN, found, "each holds its slot until look-ups have cleared it up; nothing is called twice")
