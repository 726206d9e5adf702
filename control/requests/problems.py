"""Errors as answers: RFC 9457 problem documents. They never hold the input, nor a stack trace."""

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.web_request import BaseRequest

from dialer.errors import TryAgainLater
from dialer.telemetry import logger

RETRY_AFTER_SECONDS = 2

PROBLEM_JSON = "application/problem+json"

# Of a list of leads each can be a fault: more than these are told by another thread.
FEW_FAULTS = 1_000

# Every code, with what it means.
CODES: Mapping[int, Mapping[str, str]] = {
    400: {"incomplete_body": "the body did not arrive whole", "bad_request": "this is not HTTP as we know it"},
    401: {"no_token": "send Authorization: Bearer TOKEN", "bad_token": "this token is not known, or was revoked"},
    403: {
        "not_yours": "this belongs to another business",
        "operator_only": "only the operator may do this",
        "read_only": "this key may only read",
        "bad_signature": "the signature is missing or wrong",
    },
    404: {
        "not_found": "there is no such thing",
        "no_active_run": "there is no such run that is active",
        "recording_absent": "the carrier made no recording of this call",
        "recording_cancelled": "the recording was not to be fetched",
        "recording_deleted": "the recording was kept for as long as recordings are",
        "recording_failed": "the recording could not be fetched; retry asks for it again",
        "recording_missing": "the file is not where it was",
    },
    405: {"method_not_allowed": "the path is right, the method is not; Allow says which are"},
    408: {"too_slow": "the body came too slowly"},
    409: {
        "run_ended": "the run has ended",
        "cancel_requested": "the run is being cancelled",
        "run_not_paused": "only a paused run can be resumed",
        "run_not_ended": "only a run that has ended can be retried",
        "carrier_not_configured": "to end calls, control needs TWILIO_ACCOUNT_SID",
        "recording_completed": "the recording is there, or was",
    },
    413: {"too_large": "the body is larger than is taken here"},
    415: {
        "unsupported_media_type": "send the type that is named, in Content-Type",
        "unsupported_encoding": "send the body as it is, without Content-Encoding",
    },
    416: {"range_not_satisfiable": "the file ends before that"},
    422: {
        "invalid_input": "the request is not valid; errors says where",
        "invalid_json": "the body is not JSON",
        "invalid_csv": "the body is not CSV",
        "invalid_encoding": "the text is not in the encoding that is named",
        "no_phone_column": "the first line of the CSV names no column phone",
        "idempotency_key_reused": "this Idempotency-Key was used with another request",
        "nothing_to_retry": "no job of the run ended in one of these ways",
    },
    429: {
        "rate_limited": "too many requests; Retry-After says when to go on",
        "too_many_streams": "this business follows enough streams",
    },
    503: {
        "dependency_away": "the database did not answer; try again",
        "schema_not_ready": "the database is not migrated yet; try again",
        "recordings_away": "the place where recordings are kept did not answer; try again",
        "no_more_streams": "this process serves as many streams as it may",
        "no_snapshot": "the database did not answer; connect again",
        "stopping": "this process is stopping; connect again",
    },
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the input: where (a JSON pointer), and what."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer other than success. `code` is a stable word for programs, `detail` a sentence for people."""

    status: int
    code: str
    detail: str
    errors: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """All but the errors."""
        return {
            "type": f"urn:dialer:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }

    def text(self) -> str:
        """All of it. Put together piece by piece, so that other threads get their turn: it can be long."""
        document = json.dumps(self.document())
        if not self.errors:
            return document
        errors = ", ".join(json.dumps({"pointer": fault.pointer, "detail": fault.detail}) for fault in self.errors)
        return f'{document[:-1]}, "errors": [{errors}]}}'

    def response(self) -> web.Response:
        return web.Response(text=self.text(), status=self.status, headers=self.headers, content_type=PROBLEM_JSON)


class AnswerWith(Exception):
    """Stop here and answer with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def invalid(*faults: Fault, code: str = "invalid_input") -> AnswerWith:
    return AnswerWith(Problem(422, code, "the request is not valid; errors says where", faults))


def not_found(what: str, code: str = "not_found") -> AnswerWith:
    return AnswerWith(Problem(404, code, f"there is no such {what}"))


def forbidden(code: str, detail: str) -> AnswerWith:
    return AnswerWith(Problem(403, code, detail))


def conflict(code: str, detail: str) -> AnswerWith:
    """What was asked for is not possible in this state."""
    return AnswerWith(Problem(409, code, detail))


def unauthorized(code: str, detail: str) -> AnswerWith:
    return AnswerWith(Problem(401, code, detail, headers={"WWW-Authenticate": "Bearer"}))


def too_large(most_bytes: int) -> AnswerWith:
    return AnswerWith(Problem(413, "too_large", f"the body may have at most {most_bytes} bytes"))


def unsupported_type(wanted: str) -> AnswerWith:
    return AnswerWith(Problem(415, "unsupported_media_type", f"send {wanted}, named in Content-Type"))


def unsupported_encoding() -> AnswerWith:
    detail = "send the body as it is, without Content-Encoding"
    return AnswerWith(Problem(415, "unsupported_encoding", detail, headers={"Accept-Encoding": "identity"}))


def unavailable(code: str, detail: str) -> AnswerWith:
    return AnswerWith(Problem(503, code, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}))


@web.middleware
async def errors_as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem document."""
    try:
        return await handler(request)
    except AnswerWith as answer:
        problem = answer.problem
    except TryAgainLater as away:
        logger().warning("DEPENDENCY_AWAY", what=type(away).__name__, method=request.method, path=request.path)
        problem = unavailable("dependency_away", "the database did not answer; try again").problem
    except web.HTTPException as error:
        problem = _of_aiohttp(error)
    except (web.RequestPayloadError, ConnectionError):
        problem = Problem(400, "incomplete_body", "the body did not arrive whole")
    except Exception as error:  # noqa: BLE001 - the last resort: the client gets an answer, the log the place
        log_failure(request, error)
        problem = Problem(500, "internal_error", "something went wrong here; the log has the request id")
    if problem.status == 403 or problem.code == "bad_token":
        logger().warning(
            "SECURITY", status=problem.status, code=problem.code, method=request.method, path=request.path
        )
    if len(problem.errors) <= FEW_FAULTS:
        return problem.response()
    return await asyncio.to_thread(problem.response)


def _of_aiohttp(error: web.HTTPException) -> Problem:
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status, "bad_request")
    allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(error.status, code, HTTPStatus(error.status).description or error.reason, headers=allowed)


async def only_continue(request: web.Request) -> web.StreamResponse | None:
    """What is answered to `Expect`: it is asked for before any middleware."""
    if request.version < HttpVersion11:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The library counts it as the beginning of the answer.
        request.writer.output_size = 0
        return None
    return Problem(417, "bad_request", "of Expect only 100-continue is known").response()


def log_failure(request: BaseRequest, error: BaseException | None) -> None:
    """A defect: what it was and where, without its message."""
    # Postgres quotes whole rows in its messages, phone numbers included.
    where = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
    logger().error(
        "REQUEST_FAILED", error=type(error).__name__, method=request.method, path=request.path, where=where
    )
