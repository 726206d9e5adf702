"""Reading runs."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from control.answers import answer, moment, page_of
from control.auth import Caller, business_asked_for
from control.context import CONTEXT
from control.database import Row
from control.incoming import identifier, page_asked_for
from control.problems import not_found

OPEN = ("pending", "running", "paused")
STATUSES = (*OPEN, "completed", "stopped", "cancelled", "failed")
# Columns of the counters; the disposition "failed" would be mistaken there for the status.
DISPOSITIONS = {
    "answered": "answered",
    "machine": "machine",
    "busy": "busy",
    "no_answer": "no_answer",
    "call_failed": "failed",
    "canceled": "canceled",
    "invalid_number": "invalid_number",
    "not_dialed": "not_dialed",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A run that a request names, and whose it is."""

    run_id: int
    business_id: int


async def named(request: web.Request, caller: Caller, run_id: str, business_in_body: int | None = None) -> Named:
    """The run, if it is the caller's. Raises AnswerWith 404, or 403 when it is another business's."""
    number = identifier(run_id, "run")
    acting_for = business_asked_for(request, caller, business_in_body)
    owner = await request.app[CONTEXT].database.row("owner_of_run", number)
    if owner is None:
        raise not_found("run")
    caller.must_own(owner["business_id"])
    if acting_for not in (None, owner["business_id"]):
        raise not_found("run of this business")
    return Named(number, owner["business_id"])


async def show(request: web.Request, caller: Caller) -> web.Response:
    run_id = identifier(request.match_info["run_id"], "run")
    found = await request.app[CONTEXT].database.row("show_runs", [run_id])
    if found is None:
        raise not_found("run")
    caller.must_own(found["business_id"])
    return answer(as_shown(found))


async def active(request: web.Request, caller: Caller) -> web.Response:
    """The newest run that is going on; never one whose heartbeat is stale."""
    context = request.app[CONTEXT]
    business_id = business_asked_for(request, caller)
    newest = await context.database.row("active_run", business_id, context.settings.stale_after_seconds)
    found = newest and await context.database.row("show_runs", [newest["run_id"]])
    # It may have ended between the two looks.
    if not found or found["status"] not in OPEN:
        raise not_found("run that is active", code="no_active_run")
    return answer(as_shown(found))


async def page(request: web.Request, caller: Caller) -> web.Response:
    database = request.app[CONTEXT].database
    business_id = business_asked_for(request, caller)
    wanted = page_asked_for(request, STATUSES)
    which = (wanted.after, wanted.status, wanted.limit + 1)
    if business_id is None:
        ids = await database.rows("page_of_runs", *which)
    else:
        ids = await database.rows("page_of_runs_of_business", *which, business_id)
    rows = await database.rows("show_runs", [row["run_id"] for row in ids])
    return page_of(rows, wanted, "run_id", as_shown)


def as_shown(run: Row) -> dict[str, Any]:
    """A run as the API shows it. The row's counters already have swept jobs where they are going."""
    counts = {name: run[name] for name in ("queued", "in_progress", "completed", "failed", "cancelled")}
    total = sum(counts.values())
    processed = counts["completed"] + counts["failed"] + counts["cancelled"]
    return {
        "run_id": run["run_id"],
        "business_id": run["business_id"],
        "name": run["name"],
        "status": run["status"],
        "total": total,
        **counts,
        "processed": processed,
        "progress_pct": round(100 * processed / total, 1) if total else 0.0,
        "concurrency": run["concurrency"],
        "active_calls": counts["in_progress"],
        "cancel_requested": run["cancel_requested"],
        "can_cancel": run["status"] in OPEN and not run["cancel_requested"],
        "last_error": run["last_error"],
        "locked_by_worker": str(run["locked_by_worker"]) if run["locked_by_worker"] else None,
        **{name: moment(run[name]) for name in ("last_heartbeat_at", "created_at", "started_at", "ended_at")},
        "updated_at": moment(run["updated_at"]),
        "dispositions": {shown: run[column] for column, shown in DISPOSITIONS.items() if run[column]},
    }
