"""What happened to a job, told for people: in a sentence, and as a time line."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dialer.cli.run import Run
from dialer.cli.show import printable, when

# News that came later than this after the carrier's own time says so.
_LATE_SECONDS = 2.0

_CALLED = {
    "answered": "called: the call was answered",
    "machine": "called: a machine answered",
    "busy": "called: the line was busy",
    "no_answer": "called: nobody answered",
    "failed": "called in vain: the call failed",
    "canceled": "called in vain: the call was ended before anybody answered",
    "invalid_number": "not called: the carrier does not take this number",
    "unknown": "perhaps called: the carrier never told; it is not dialed again by itself",
}
_WAITING = {
    "pending": "no daemon works on its run at the moment",
    "running": "it waits for its turn",
    "paused": "its run is paused",
}
_BEING_CALLED = {
    "intent": "being called: the request is about to be sent, or on its way",
    "requested": "being called: the carrier has taken the call",
    "live": "being called: the call is live",
    "unknown": "perhaps being called: what became of the request is being found out",
}

Job = Mapping[str, Any]


def in_short(job: Job, run: Run | None) -> str:
    """Why this person was called or not, in one line. The run tells more of a job that waits."""
    message = printable(job.get("error_message"))
    if job.get("disposition") == "not_dialed":
        return f"never called: {message or 'its run had ended before its turn came'}"
    if job["status"] == "queued":
        return _waiting(job, run, message)
    parts = [_verdict(job)]
    if job.get("disposition") in ("answered", "machine") and job.get("duration_seconds") is not None:
        parts.append(f"for {job['duration_seconds']} s")
    if reason := ": ".join(str(part) for part in (job.get("error_code"), message) if part):
        parts.append(f"({reason})")
    return " ".join(parts)


def time_line(job: Job) -> Iterator[tuple[str, str, str]]:
    """Rows of time, number of the attempt and what happened, in the order in which it happened."""
    yield when(job.get("created_at")), "", "put on the list"
    attempts = job["attempts"]
    for number, attempt in enumerate(attempts, 1):
        yield from ((at, str(number), what) for at, what in _attempt(attempt))
    if job.get("ended_at"):
        ending = " ".join(filter(None, (job["status"], job.get("disposition"))))
        yield when(job["ended_at"]), "", f"the job ended: {ending}"
    elif job["status"] == "queued" and attempts:
        yield "", "", "it is in the queue again"


def _attempt(attempt: Job) -> Iterator[tuple[str, str]]:
    slot = f", in slot {attempt['slot']}" if attempt.get("slot") is not None else ""
    yield when(attempt.get("created_at")), f"a call was decided on{slot} ({attempt['attempt_id']})"
    if attempt.get("requested_at"):
        yield (
            when(attempt["requested_at"]),
            f"the carrier has taken it: {attempt.get('call_sid') or 'SID unknown'}",
        )
    for event in attempt.get("events", ()):
        yield (
            when(event.get("at") or event.get("received_at")),
            f"the carrier says: {event['status']}{_late(event)}",
        )
    if attempt.get("ended_at"):
        yield when(attempt["ended_at"]), f"the attempt ended: {attempt.get('disposition')}"
    elif attempt.get("state") == "unknown":
        yield "", "what became of the request is being found out"


def _verdict(job: Job) -> str:
    if disposition := job.get("disposition"):
        return _CALLED.get(disposition, f"ended as {disposition}")
    last = job["attempts"][-1] if job["attempts"] else {}
    return _BEING_CALLED.get(str(last.get("state")), f"being called: {job['status']}")


def _waiting(job: Job, run: Run | None, message: str) -> str:
    if message:
        why = f"it {message}"
    else:
        why = _WAITING.get(run.status if run else "running", "it will not be, for its run is over")
    again = "; its last attempt was certainly no call" if job["attempts"] else ""
    return f"not called yet: {why}{again}"


def _late(event: Job) -> str:
    if not (event.get("at") and event.get("received_at")):
        return ""
    seconds = (datetime.fromisoformat(event["received_at"]) - datetime.fromisoformat(event["at"])).total_seconds()
    return f" (heard {seconds:.0f} s later)" if seconds > _LATE_SECONDS else ""
