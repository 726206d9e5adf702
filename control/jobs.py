"""Reading jobs, and what became of them."""

import json
from typing import Any

from aiohttp import web

from control.answers import answer, moment, page_of
from control.auth import Caller
from control.context import CONTEXT
from control.database import Row
from control.incoming import identifier, page_asked_for
from control.problems import not_found

STATUSES = ("queued", "dialing", "calling", "completed", "failed", "cancelled")

_AS_THEY_ARE = (
    *("job_id", "run_id", "business_id", "lead_id", "phone", "name", "status", "disposition", "call_sid"),
    *("error_code", "error_message", "attempts_made", "duration_seconds"),
)
_TIMES = ("created_at", "dialed_at", "answered_at", "ended_at")


async def page(request: web.Request, caller: Caller) -> web.Response:
    """The jobs of a run, in the order of its list."""
    database = request.app[CONTEXT].database
    run_id = identifier(request.match_info["run_id"], "run")
    wanted = page_asked_for(request, STATUSES)
    owner = await database.row("owner_of_run", run_id)
    if owner is None:
        raise not_found("run")
    caller.must_own(owner["business_id"])
    rows = await database.rows("page_of_jobs", run_id, wanted.after, wanted.status, wanted.limit + 1)
    return page_of(rows, wanted, "position", as_shown)


async def show(request: web.Request, caller: Caller) -> web.Response:
    """One job with its attempts and their events."""
    database = request.app[CONTEXT].database
    job_id = identifier(request.match_info["job_id"], "job")
    job = await database.row("show_job", job_id)
    if job is None:
        raise not_found("job")
    caller.must_own(job["business_id"])
    attempts = await database.rows("attempts_of_job", job_id)
    events = await database.rows("events_of_job", job_id)
    return answer({**as_shown(job), "attempts": [_attempt(attempt, events) for attempt in attempts]})


def as_shown(job: Row) -> dict[str, Any]:
    return {
        **{name: job[name] for name in _AS_THEY_ARE},
        **{name: moment(job[name]) for name in _TIMES},
        "variables": json.loads(job["variables"] or "{}"),
    }


def _attempt(attempt: Row, events: list[Row]) -> dict[str, Any]:
    return {
        "attempt_id": str(attempt["attempt_id"]),
        **{name: attempt[name] for name in ("state", "disposition", "call_sid", "slot")},
        **{name: moment(attempt[name]) for name in ("created_at", "requested_at", "answered_at", "ended_at")},
        "events": [_event(event) for event in events if event["attempt_id"] == attempt["attempt_id"]],
    }


def _event(event: Row) -> dict[str, Any]:
    return {
        "sequence": event["sequence"],
        "status": event["status"],
        "at": moment(event["at"]),
        "received_at": moment(event["received_at"]),
    }
