"""What can go wrong between us and the server, in words for the user."""

import http.client
import json
from typing import Any

NOT_OURS = "what answers is not the dialer's control: does DIALER_URL name it?"
# Who is asked to wait longer than this is told so instead.
LONGEST_WAIT_SECONDS = 10.0


class Unreachable(Exception):
    """The server did not answer; whether it acted is unknown when `sent`, else it did not."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(Exception):
    """The server answered with an error; the message is for the user, faults of the input line by line."""

    def __init__(self, status: int, message: str, retry_after: float | None = None, body: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after  # seconds
        self.body = body


def refusal(response: http.client.HTTPResponse, content: bytes) -> Refused:
    """What an answer of 400 or more says."""
    body = json_of(content)
    message, retry_after = _explain(response.status, body), _retry_after(response)
    if response.status == 500 and (request_id := response.headers.get("X-Request-Id")):
        message += f"; the request id is {request_id}"
    if retry_after and retry_after > LONGEST_WAIT_SECONDS:
        message += f"; it asks to try again in {retry_after:g} s"
    return Refused(response.status, message, retry_after, body)


def json_of(content: bytes) -> Any:
    """None when it is none."""
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None


def _explain(status: int, body: Any) -> str:
    """A problem (RFC 9457) in words: its detail, then each fault by its pointer."""
    problem = body if isinstance(body, dict) else {}
    said = problem.get("detail") or problem.get("title") or http.client.responses.get(status, "error")
    lines = [f"{said} ({status}{' ' + str(problem['code']) if problem.get('code') else ''})"]
    if status == 401:
        lines[0] += ": set DIALER_TOKEN to a key of the business or to the operator's token"
    faults = problem.get("errors")
    lines += [
        f"  {fault.get('pointer') or 'the request'}: {fault.get('detail', '?')}"
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict)
    ]
    return "\n".join(lines)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return None
