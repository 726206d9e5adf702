"""Reading jobs, and what became of them."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from aiohttp import web

from control.context import CONTEXT
from control.database import Database, Row
from control.requests.answers import answer, moment, page_of
from control.requests.auth import Caller
from control.requests.incoming import Page, page_asked_for
from control.resources.runs import readable, readable_rows

STATUSES = ("queued", "dialing", "calling", "completed", "failed", "cancelled")

_AS_THEY_ARE = (
    *("job_id", "run_id", "business_id", "lead_id", "phone", "name", "status", "disposition", "call_sid"),
    *("error_code", "error_message", "attempts_made", "duration_seconds"),
)
_TIMES = ("created_at", "dialed_at", "answered_at", "ended_at")
_ATTEMPT_TIMES = ("created_at", "requested_at", "answered_at", "ended_at")


async def page(request: web.Request, caller: Caller) -> web.Response:
    """The jobs of a run, in the order of its list."""
    wanted = page_asked_for(request, STATUSES)
    await readable(request, caller, "owner_of_run", "run", request.match_info["run_id"])
    rows = await page_of_jobs(request.app[CONTEXT].database, int(request.match_info["run_id"]), wanted)
    return page_of(rows, wanted, "position", as_shown)


async def page_of_jobs(database: Database, run_id: int, page: Page) -> list[Row]:
    """The jobs of a page as rows of shown_jobs, and one more when there is another page."""
    which = (run_id, page.after, page.limit + 1)
    if page.status is None:
        return await database.rows("page_of_jobs", *which)
    return await database.rows("page_of_jobs_with_status", *which, page.status)


async def show(request: web.Request, caller: Caller) -> web.Response:
    """One job with its attempts and their events."""
    rows = await readable_rows(request, caller, "show_job", "job", request.match_info["job_id"])
    job = rows[0]
    by_attempt = groupby((row for row in rows if row["attempt_id"]), key=lambda row: row["attempt_id"])
    return answer({**as_shown(job), "attempts": [_attempt(list(history)) for _, history in by_attempt]})


def as_shown(job: Row) -> dict[str, Any]:
    """A row of shown_jobs as the API shows it."""
    return {
        **{name: job[name] for name in _AS_THEY_ARE},
        **{name: moment(job[name]) for name in _TIMES},
        "variables": json.loads(job["variables"] or "{}"),
    }


def _attempt(history: Sequence[Row]) -> dict[str, Any]:
    attempt = history[0]
    return {
        "attempt_id": str(attempt["attempt_id"]),
        **{name: attempt[f"attempt_{name}"] for name in ("state", "disposition", "call_sid", "slot")},
        **{name: moment(attempt[f"attempt_{name}"]) for name in _ATTEMPT_TIMES},
        "events": [_event(row) for row in history if row["event_id"] is not None],
    }


def _event(row: Row) -> dict[str, Any]:
    return {
        "sequence": row["sequence"],
        "status": row["event_status"],
        "at": moment(row["at"]),
        "received_at": moment(row["received_at"]),
    }
