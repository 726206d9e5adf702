"""Reading runs."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from control.context import CONTEXT
from control.database import Database, Row
from control.requests.answers import answer, moment, page_of
from control.requests.auth import Caller, business_asked_for, must_exist
from control.requests.incoming import Page, identifier, page_asked_for
from control.requests.problems import not_found

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
    found = await readable(request, caller, "owner_of_run", "run", run_id, business_in_body)
    return Named(int(run_id), found["business_id"])


async def readable(
    request: web.Request,
    caller: Caller,
    statement: str,
    what: str,
    number: str,
    business_in_body: int | None = None,
) -> Row:
    """The row of a statement about the object with this id, if the caller may see it. Raises as readable_rows."""
    return (await readable_rows(request, caller, statement, what, number, business_in_body))[0]


async def readable_rows(
    request: web.Request,
    caller: Caller,
    statement: str,
    what: str,
    number: str,
    business_in_body: int | None = None,
) -> list[Row]:
    """The rows of a statement about the object with this id; one at least, the first tells whose it is.

    Raises AnswerWith 404 when there is none, or none of the business that the operator names; 403 when it is
    another business's.
    """
    identity = identifier(number, what)
    acting_for = business_asked_for(request, caller, business_in_body)
    found = await request.app[CONTEXT].database.rows(statement, identity)
    if not found:
        raise not_found(what)
    owner = found[0]["business_id"]
    caller.must_own(owner)
    if acting_for not in (None, owner):
        raise not_found(f"{what} of this business")
    return found


async def show(request: web.Request, caller: Caller) -> web.Response:
    return answer(as_shown(await readable(request, caller, "show_run", "run", request.match_info["run_id"])))


async def active(request: web.Request, caller: Caller) -> web.Response:
    """The newest run that is going on; never one whose heartbeat is stale."""
    context = request.app[CONTEXT]
    business_id = business_asked_for(request, caller)
    stale_after = context.settings.stale_after_seconds
    if business_id is None:
        found = await context.database.row("active_run", stale_after)
    else:
        found = await context.database.row("active_run_of_business", stale_after, business_id)
    if found is None:
        raise not_found("run that is active", code="no_active_run")
    return answer(as_shown(found))


async def page(request: web.Request, caller: Caller) -> web.Response:
    business_id = business_asked_for(request, caller)
    wanted = page_asked_for(request, STATUSES)
    rows = await _page(request.app[CONTEXT].database, wanted, business_id)
    if not rows and business_id is not None:
        await must_exist(request, business_id)
    return page_of(rows, wanted, "run_id", as_shown)


async def _page(database: Database, wanted: Page, business_id: int | None) -> list[Row]:
    # A statement for each: one for all, with "or null", has no plan that is good for every case.
    which = (wanted.after, wanted.limit + 1)
    if business_id is None and wanted.status is None:
        return await database.rows("page_of_runs", *which)
    if business_id is None:
        return await database.rows("page_of_runs_with_status", *which, wanted.status)
    if wanted.status is None:
        return await database.rows("page_of_runs_of_business", *which, business_id)
    return await database.rows("page_of_runs_of_business_with_status", *which, business_id, wanted.status)


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
        "progress_pct": percent(processed, total),
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


def percent(processed: int, total: int) -> float:
    """To a tenth; but 100 is all of them."""
    if processed == total:
        return 100.0 if total else 0.0
    return min(round(100 * processed / total, 1), 99.9)
