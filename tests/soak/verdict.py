"""The questions that a soak ends with: of the ledger, the rows, the counters, the slots, the logs."""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from simulator.ledger import Placed
from tests.soak.world import OWN_NAME, Business, World
from tests.support.runs import assert_counters_match
from tests.support.waiting import eventually

# From an intent to its call at the carrier: at most so long (see SETTINGS).
INTENT_TO_CALL_SECONDS = 7.0
# Of our own time-stamps against the watcher's looks.
WATCHER_SECONDS = 1.0
DIALED_AND_OVER = ("answered", "machine", "busy", "no_answer", "failed", "canceled")


async def violations(w: World) -> list[str]:
    """Everything that ought not to be."""
    found = two_calls(w)
    for business in w.businesses:
        found += over_limit(w, business)
    for ask in (
        unknown_calls,
        more_calls_than_attempts,
        lost_jobs,
        after_a_stop,
        old_epochs,
        held_slots,
        counters,
    ):
        found += await ask(w)
    return found + faults_of_ours(w)


def two_calls(w: World) -> list[str]:
    ledger = w.sim.ledger
    creates = Counter(a.attempt for a in ledger.arrivals)
    found = [f"attempt {a}: {n} creates" for a, n in creates.items() if n > 1]
    found += [f"attempt {a}: {n} calls" for a, n in ledger.calls_per_attempt().items() if n > 1]
    return found + ([f"{ledger.without_attempt()} calls without attempt"] if ledger.without_attempt() else [])


def over_limit(w: World, business: Business) -> list[str]:
    """Whenever a call began, no more were live than the highest limit since its intent allowed."""
    calls = [c for c in w.sim.ledger.calls.values() if c.from_number == business.from_number]
    calls.sort(key=lambda c: c.created)
    ends: list[float] = []
    found = []
    for n, call in enumerate(calls):
        live = n + 1 - bisect.bisect_right(ends, call.created)
        allowed = highest_limit(w.limits[business.business_id], call.created)
        if live > allowed:
            found.append(f"business {business.business_id}: {live} calls live, {allowed} allowed: {call.attempt}")
        if call.ended is not None:
            bisect.insort(ends, call.ended)
    return found


def highest_limit(seen: list[tuple[float, int]], moment: float) -> int:
    """In force at some time between an intent and its call, as far as anybody can know."""
    since = moment - INTENT_TO_CALL_SECONDS - WATCHER_SECONDS
    at_first = [limit for at, limit in seen if at <= since][-1:] or [seen[0][1]]
    return max([*at_first, *(limit for at, limit in seen if since < at <= moment + WATCHER_SECONDS)])


async def unknown_calls(w: World) -> list[str]:
    known = {str(r["id"]) for r in await w.system.db.fetch("SELECT id FROM outbound_call_attempts")}
    return [f"call {c.sid} has no row" for c in w.sim.ledger.calls.values() if c.attempt not in known]


async def more_calls_than_attempts(w: World) -> list[str]:
    """A number is called as often as it was attempted, and never twice at once."""
    rows = await w.system.db.fetch("SELECT to_number, count(*) AS n FROM outbound_call_attempts GROUP BY 1")
    attempts = {r["to_number"]: r["n"] for r in rows}
    by_number: dict[str, list[Placed]] = defaultdict(list)
    for call in sorted(w.sim.ledger.calls.values(), key=lambda c: c.created):
        by_number[call.to].append(call)
    found = [f"{number}: more calls than attempts" for number, c in by_number.items() if len(c) > attempts[number]]
    for number, calls in by_number.items():
        pairs = pairwise(calls)
        found += [f"{number}: two calls at once" for a, b in pairs if a.ended is None or a.ended > b.created]
    return found


async def lost_jobs(w: World) -> list[str]:
    """Every job has ended for a reason, and for one that the ledger does not contradict."""
    db = w.system.db
    rows = await db.fetch("SELECT id FROM outbound_call_jobs WHERE ended_at IS NULL OR disposition IS NULL")
    found = [f"job {r['id']} has not ended" for r in rows]
    rows = await db.fetch("SELECT id FROM outbound_call_attempts WHERE ended_at IS NULL")
    found += [f"attempt {r['id']} has not ended" for r in rows]
    called = {c.attempt for c in w.sim.ledger.calls.values()}
    rows = await db.fetch("SELECT id, disposition, call_sid FROM outbound_call_attempts")
    for row in rows:
        was_called, what = str(row["id"]) in called, row["disposition"]
        if what in ("not_dialed", "invalid_number") and was_called:
            found.append(f"attempt {row['id']} is {what}, and was called")
        if row["call_sid"] is not None and not was_called:
            found.append(f"attempt {row['id']} is {what}, and was never called")
    return found


async def after_a_stop(w: World) -> list[str]:
    """No intent after a stop's answer."""
    late = "SELECT id FROM outbound_call_attempts WHERE run_id = $1 AND created_at > $2"
    found = []
    for run, answered in w.stopped.items():
        found += [
            f"attempt {r['id']} after the stop of run {run}" for r in await w.system.db.fetch(late, run, answered)
        ]
    return found


async def old_epochs(w: World) -> list[str]:
    """Within a run, a later intent never has a smaller epoch."""
    rows = await w.system.db.fetch(
        """SELECT id FROM (
               SELECT id, lease_epoch, lag(lease_epoch) OVER (PARTITION BY run_id ORDER BY created_at, lease_epoch)
               AS before FROM outbound_call_attempts) a
           WHERE lease_epoch < before"""
    )
    return [f"attempt {r['id']} was written under an old epoch" for r in rows]


async def held_slots(w: World) -> list[str]:
    """In quiet, Redis holds no slot."""
    left: dict[Any, list[Any]] = {}

    async def none() -> bool:
        left.clear()
        for redis in clients:
            for key in await redis.keys("dialer:*:held"):
                if slots := [s for s in await redis.hkeys(key) if s != b"generation"]:
                    left[key] = slots
        return not left

    clients = w.redis.clients()
    try:
        await eventually(none, timeout=10)
    except AssertionError:
        return [f"{key} holds {slots}" for key, slots in left.items()]
    finally:
        for redis in clients:
            await redis.aclose()
    return []


async def counters(w: World) -> list[str]:
    found = []
    for row in await w.system.db.fetch("SELECT id FROM outbound_call_runs"):
        try:
            await assert_counters_match(w.system.db, row["id"])
        except AssertionError as error:
            found.append(f"counters of run {row['id']}: {error}")
    return found


def faults_of_ours(w: World) -> list[str]:
    """A FAULT in a log is a defect; a call that turned up after its attempt had ended was a slot too many."""
    return [f"{p.name}: {str(e)[-600:]}" for p in w.system.processes for e in p.events("FAULT", "LATE_CALL")]


async def no_other_connection(w: World) -> bool:
    """Ours are in the pool; whoever else is there was left by somebody."""
    others = """SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name <> $1 AND backend_type = 'client backend'"""
    return bool(await w.system.db.fetchval(others, OWN_NAME) == 0)


async def unrest(w: World) -> str:
    """What there is instead of quiet."""
    runs = await w.system.db.fetch(
        """SELECT r.id, r.business_id, r.status, r.cancel_requested, r.last_error, c.queued, c.in_progress
           FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
           WHERE r.ended_at IS NULL OR c.queued + c.in_progress > 0"""
    )
    attempts = await w.system.db.fetch(
        """SELECT id, run_id, state, call_sid, created_at, last_news_at, next_look_at, looks
           FROM outbound_call_attempts WHERE ended_at IS NULL"""
    )
    return f"no quiet: carrier idle: {w.sim.idle}; {[dict(r) for r in runs]}; {[dict(r) for r in attempts]}"


async def figures(w: World) -> dict[str, Any]:
    """Counts for people."""
    ledger, db = w.sim.ledger, w.system.db
    logs = Counter(e["event"] for p in w.system.processes for e in p.events())
    jobs = await db.fetch("SELECT disposition, count(*) AS n FROM outbound_call_jobs GROUP BY 1 ORDER BY 1")
    fates = Counter(d.outcome for d in ledger.deliveries)
    rows = await db.fetch("SELECT id FROM outbound_call_attempts WHERE disposition = 'unknown'")
    unheard = {str(r["id"]) for r in rows}
    return {
        "runs": await db.fetchval("SELECT count(*) FROM outbound_call_runs"),
        "jobs": await db.fetchval("SELECT count(*) FROM outbound_call_jobs"),
        "attempts": await db.fetchval("SELECT count(*) FROM outbound_call_attempts"),
        "creates at the carrier": len(ledger.arrivals),
        "calls placed": len(ledger.calls),
        "most calls of an attempt": ledger.most_calls_of_an_attempt(),
        **{f"jobs {r['disposition']}": r["n"] for r in jobs},
        "unknown that were calls": len(unheard & {c.attempt for c in ledger.calls.values()}),
        "creates struck by a fault": sum(a.fault is not None for a in ledger.arrivals),
        **{f"callbacks {fate}": n for fate, n in sorted(fates.items())},
        "most live, by business": " ".join(map(str, ledger.most_live_by_group().values())),
        "processes started": len(w.system.processes),
        **{name: logs[name] for name in EVENTS},
    }


EVENTS = (
    "RUN_RESUMED",
    "RUN_HANDED_OVER",
    "INTENT_UNCERTAIN",
    "CALL_UNKNOWN",
    "CALL_NOT_PROCESSED",
    "CALL_LOOKED_UP",
    "ATTEMPT_SEARCHED",
    "ATTEMPT_UNKNOWN",
    "REDIS_AWAY",
    "SLOTS_RECONCILED",
    "LOCK_TOKEN_MISMATCH",
    "DATABASE_REFUSED",
    "LEFT_IN_HASTE",
    "ACCOUNT_REFUSED",
    "CALLBACK_ORPHAN",
    "LATE_CALL",
    "FAULT",
)
