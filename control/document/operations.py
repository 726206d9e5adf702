"""What each handler takes and answers: the table that `openapi` writes out and `requests.parameters` enforces.

Keyed by module and name of the handler, so that the aliases of a path are described once. What follows from the route
itself (401, 403, 404 of an id, the faults of a body) is not repeated here.
"""

from pydantic import BaseModel

from control.document import forms, payloads, shapes
from control.document.described import CSV, FORM, HTML, SOUND, SSE, TWIML, Content, Header, Operation


def operation_of(handler: str) -> Operation | None:
    """What a handler takes and answers, if it is described."""
    return next((operations[handler] for operations in OPERATIONS.values() if handler in operations), None)


def _ok(description: str, model: type[BaseModel]) -> dict[int, Content]:
    return {200: Content(description, model)}


_IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "The same key and request are answered the same for 24 hours, and done once.",
    {"type": "string", "pattern": payloads.IDEMPOTENCY_KEY},
)
_LIST = {
    "leads": [{"phone": "+972501234567", "lead_id": "2502", "name": "Dana", "variables": {"city": "Haifa"}}],
    "name": "spring",
    "twiml": "<Response><Say>Hello</Say></Response>",
    "concurrency": 3,
}
_STARTED = {
    201: Content(
        "The run is made.",
        shapes.Started,
        headers={"Idempotent-Replayed": "true: made by an earlier request with this key."},
    )
}
_OF_A_FILE = {"ETag": "Names the file as it is.", "Accept-Ranges": "bytes", "Content-Disposition": "Its name."}
_TAKEN = {204: Content("Taken, or taken before, or kept aside.", media_type=None)}
_ENDED = {409: "The run has ended, or is being cancelled."}

OPERATIONS: dict[str, dict[str, Operation]] = {
    "Runs": {
        "start.start_run": Operation(
            "Start a run: dial a calling list",
            _STARTED,
            "As text/csv: a column `phone`, `lead_id` and `name` where there are any, all others become variables; "
            "the settings are then in the query string.",
            body=payloads.Start,
            example=_LIST,
            settings_of_csv=payloads.StartSettings,
            headers=(_IDEMPOTENCY_KEY,),
        ),
        "runs.page": Operation(
            "List runs, the newest first", _ok("A page of runs.", shapes.RunPage), query=payloads.RunsAsked
        ),
        "runs.active": Operation(
            "The newest run that is going on",
            _ok("The run.", shapes.Run),
            problems={404: "No run is pending, running or paused (`no_active_run`); a stale one counts as none."},
        ),
        "runs.show": Operation("Show a run", _ok("The run.", shapes.Run)),
        "stops.cancel": Operation(
            "Cancel a run: nothing new is dialed, live calls end by themselves",
            _ok("Cancelled, or it had ended before.", shapes.Cancelled),
            body=payloads.Action,
            body_required=False,
        ),
        "stops.force_cancel": Operation(
            "Cancel a run at once, and hang up on demand",
            _ok("Cancelled, or it had ended before.", shapes.ForceCancelled),
            body=payloads.ForceCancel,
            example={"reason": "wrong list", "hangup": True},
            body_required=False,
            problems={409: "To end calls, the carrier's account must be set (`carrier_not_configured`)."},
        ),
        "stops.stop": Operation(
            "Stop a run",
            _ok("Stopped, or it had ended before.", shapes.Stopped),
            body=payloads.Action,
            body_required=False,
        ),
        "stops.stop_queue": Operation(
            "Stop a run that is named in the body",
            _ok("Stopped, or it had ended before.", shapes.Stopped),
            body=payloads.StopQueue,
            example={"run_id": 111},
            problems={404: "There is no such run."},
        ),
        "stops.pause": Operation(
            "Pause a run: nothing new is dialed until it is resumed",
            _ok("The run.", shapes.Run),
            body=payloads.Action,
            body_required=False,
            problems=_ENDED,
        ),
        "stops.resume": Operation(
            "Resume a paused run",
            _ok("The run.", shapes.Run),
            body=payloads.Action,
            body_required=False,
            problems={409: "The run is not paused."},
        ),
        "retry.retry_run": Operation(
            "Retry: a new run with jobs of one that has ended",
            _STARTED,
            "`only`: those that ended so; without it whatever failed, except invalid numbers and `unknown`.",
            body=payloads.Retry,
            example={"only": ["busy", "no_answer"]},
            body_required=False,
            headers=(_IDEMPOTENCY_KEY,),
            problems={409: "The run has not ended."},
        ),
        "stops.cleanup": Operation(
            "Stop stale runs now",
            _ok("What was stopped.", shapes.CleanedUp),
            body=payloads.Action,
            body_required=False,
        ),
    },
    "Jobs, reports and events": {
        "jobs.page": Operation(
            "List the jobs of a run, in the order of its list",
            _ok("A page of jobs.", shapes.JobPage),
            query=payloads.JobsAsked,
        ),
        "jobs.show": Operation(
            "Show a job with its attempts and what the carrier said of them", _ok("The job.", shapes.JobInFull)
        ),
        "counts.counts": Operation(
            "Calls of a business: live, allowed, waiting", _ok("The counts.", shapes.Counts)
        ),
        "report.report": Operation(
            "A run as a spreadsheet, one row a job",
            {200: Content("CSV in UTF-8; times are in the business's time zone.", None, CSV)},
        ),
        "stream.events": Operation(
            "Follow a business, or one run, as it changes",
            {200: Content("Server-sent events: `snapshot` first, then `run`, `job` and `slots`.", None, SSE)},
            "A client that reconnects gets a fresh snapshot.",
            query=payloads.EventsAsked,
            headers=(
                Header("Last-Event-ID", "A browser sends it when it reconnects; the snapshot is fresh anyway."),
            ),
        ),
    },
    "Recordings": {
        "recordings.page": Operation(
            "List recordings, the newest first",
            _ok("A page of recordings.", shapes.RecordingPage),
            query=payloads.RecordingsAsked,
        ),
        "recordings_file.send": Operation(
            "The sound of a call, whole or in part",
            {
                200: Content("The file.", None, SOUND, headers=_OF_A_FILE),
                206: Content("A part of it.", None, SOUND, headers={**_OF_A_FILE, "Content-Range": "Which part."}),
                202: Content(
                    "It is being fetched.",
                    shapes.OnItsWay,
                    headers={"Retry-After": "Seconds to wait before asking."},
                ),
                304: Content("You have it: If-None-Match named its ETag.", media_type=None),
            },
            headers=(
                Header("Range", "`bytes=0-99`: this part alone."),
                Header("If-Range", "The ETag that the part is to be of."),
            ),
            problems={416: "The file ends before that."},
        ),
        "recordings.retry": Operation(
            "Fetch a recording again that could not be fetched",
            _ok("The recording.", shapes.Recording),
            body=payloads.Action,
            body_required=False,
            problems={409: "It is there."},
        ),
    },
    "Businesses and keys": {
        "businesses.create": Operation(
            "Add a business",
            {201: Content("It is added.", shapes.Business)},
            body=payloads.NewBusiness,
            example={"name": "Acme", "default_region": "IL", "timezone": "Asia/Jerusalem"},
        ),
        "businesses.page": Operation(
            "List businesses", _ok("A page of businesses.", shapes.BusinessPage), query=payloads.PageAsked
        ),
        "businesses.show": Operation("Show a business", _ok("The business.", shapes.Business)),
        "businesses.change": Operation(
            "Change a business",
            _ok("As it is now.", shapes.Business),
            body=payloads.BusinessChange,
            example={"max_concurrent_calls": 5},
        ),
        "keys.create": Operation(
            "Make a key of a business",
            {201: Content("The key, with its token: it is shown this once.", shapes.MadeKey)},
            body=payloads.NewKey,
            example={"name": "crm", "role": "member"},
        ),
        "keys.page": Operation(
            "List the keys of a business", _ok("A page of keys.", shapes.KeyPage), query=payloads.PageAsked
        ),
        "keys.revoke": Operation("Revoke a key", {204: Content("It is worth nothing any more.", media_type=None)}),
    },
    "Operating": {
        "health.livez": Operation("Whether the process turns", _ok("It does.", shapes.Alive)),
        "health.readyz": Operation(
            "Whether it can work",
            {200: Content("It can.", shapes.Ready), 503: Content("Something is away.", shapes.Ready)},
        ),
        "health.health": Operation(
            "How everything is",
            {200: Content("All is well.", shapes.Health), 503: Content("Something is away.", shapes.Health)},
            "Without a token only the status is shown.",
            shows_more_with_a_token=True,
        ),
        "daemons.show": Operation("Show a daemon", _ok("The daemon.", shapes.OneDaemon)),
        "daemons.drain": Operation(
            "Ask a daemon to drain, as by SIGTERM",
            _ok("It is asked, was before, or has ended.", shapes.OneDaemon),
            "It hears of it within five beats. Whoever keeps daemons running starts another, which was not asked.",
            body=payloads.WithReason,
            body_required=False,
        ),
        "metrics.metrics": Operation(
            "Figures for Prometheus",
            {200: Content("The exposition format of Prometheus.", None, "text/plain")},
            "When METRICS_TOKEN is set, it is wanted as bearer token.",
            shows_more_with_a_token=True,
        ),
        "openapi.show": Operation(
            "This description",
            {
                200: Content("OpenAPI 3.1.", None, schema={"type": "object"}),
                304: Content("You have it: If-None-Match named its ETag.", media_type=None),
            },
        ),
        "docs.page": Operation("This description, for people", {200: Content("A page.", None, HTML)}),
    },
    "The carrier's callbacks": {
        "callbacks.call_status": Operation(
            "The carrier says how far a call is", _TAKEN, body=forms.CallNews, body_type=FORM
        ),
        "callbacks.outbound_call": Operation(
            "The carrier asks what an answered call is to do",
            {200: Content("TwiML.", media_type=TWIML)},
            body=forms.CallNews,
            body_type=FORM,
            problems={404: "The run has a URL of its own for this."},
        ),
        "recordings_callback.recording_status": Operation(
            "The carrier says that a recording is there, or is not",
            _TAKEN,
            body=forms.RecordingNews,
            body_type=FORM,
        ),
        "amd.amd_status": Operation("The carrier says who answered", _TAKEN, body=forms.Verdict, body_type=FORM),
    },
}
