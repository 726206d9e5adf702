"""Recordings: lists of them, and another try for one that failed."""

from typing import Any

from aiohttp import web

from control.carrier.recordings_callback import CALL_SID
from control.context import CONTEXT
from control.database import Database, Row
from control.document.payloads import Action
from control.requests.answers import answer, moment, page_of
from control.requests.auth import Caller, business_asked_for
from control.requests.incoming import Page, page_asked_for, read_optional_payload
from control.requests.problems import conflict, not_found
from control.resources import runs
from dialer.edges.wakeup import Hint
from dialer.telemetry import logger

STATUSES = ("queued", "running", "completed", "failed", "cancelled")
_AS_THEY_ARE = (
    *("call_sid", "recording_sid", "job_id", "status", "bytes", "duration_seconds", "sha256", "error_message"),
)


async def page(request: web.Request, caller: Caller) -> web.Response:
    """The recordings of a run or of a business, newest first."""
    database = request.app[CONTEXT].database
    wanted = page_asked_for(request, STATUSES)
    run_id = request.query.get("run_id")
    if run_id is not None:
        run = await runs.named(request, caller, run_id)
        rows = await _part(database, wanted, "page_of_recordings_of_run", run.run_id)
    elif (business_id := business_asked_for(request, caller)) is not None:
        rows = await _part(database, wanted, "page_of_recordings_of_business", business_id)
    else:
        rows = await _part(database, wanted, "page_of_recordings")
    return page_of(rows, wanted, "recording_id", as_shown)


async def _part(database: Database, wanted: Page, statement: str, *whose: int) -> list[Row]:
    statuses = [wanted.status] if wanted.status else list(STATUSES)
    return await database.rows(statement, wanted.after, wanted.limit + 1, statuses, *whose)


async def retry(request: web.Request, caller: Caller) -> web.Response:
    """Fetch one anew that failed. One that is on its way is left as it is, so that asking twice is harmless."""
    context, call_sid = request.app[CONTEXT], request.match_info["call_sid"]
    wanted = await read_optional_payload(request, Action)
    recording = await named(request, caller, call_sid, "show_recording", wanted.business_id)
    business_id = recording["business_id"]
    again = await context.database.row("retry_recording", call_sid, business_id, caller.actor, wanted.reason)
    if again is not None:
        logger().info(
            "RETRY_RECORDING",
            business_id=business_id,
            call_sid=call_sid,
            actor=caller.actor,
            reason=wanted.reason,
        )
        context.hints.say(Hint("recording", business_id, run_id=again["run_id"], job_id=again["job_id"]))
        return answer(as_shown(again))
    # It was no failed one; somebody else may have asked, or it may have arrived, since we looked.
    now = await named(request, caller, call_sid, "show_recording", wanted.business_id)
    if now["status"] == "completed":
        raise conflict("recording_completed", "this recording is there, or was until it had been kept long enough")
    return answer(as_shown(now))


async def named(
    request: web.Request, caller: Caller, call_sid: str, statement: str, business_in_body: int | None = None
) -> Row:
    """What `statement` tells of a call's recording, if it is the caller's.

    Raises AnswerWith 404, or 403 when it is another business's.
    """
    acting_for = business_asked_for(request, caller, business_in_body)
    row = None
    if CALL_SID.fullmatch(call_sid):
        row = await request.app[CONTEXT].database.row(statement, call_sid)
    if row is None:
        raise not_found("recording")
    caller.must_own(row["business_id"])
    if acting_for not in (None, row["business_id"]):
        raise not_found("recording of this business")
    return row


def as_shown(recording: Row) -> dict[str, Any]:
    return {
        **{name: recording[name] for name in _AS_THEY_ARE},
        **{name: moment(recording[name]) for name in ("created_at", "completed_at")},
    }
