"""Errors as answers: RFC 9457 problem documents. They never hold the input, nor a stack trace."""

import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus

from aiohttp import web

from dialer.errors import TryAgainLater
from dialer.telemetry import logger

RETRY_AFTER_SECONDS = 2

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

    def response(self) -> web.Response:
        document: dict[str, object] = {
            "type": f"urn:dialer:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            document["errors"] = [asdict(fault) for fault in self.errors]
        return web.json_response(
            document, status=self.status, headers=self.headers, content_type="application/problem+json"
        )


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
        _log_failure(request, error)
        problem = Problem(500, "internal_error", "something went wrong here; the log has the request id")
    if problem.status == 403 or problem.code == "bad_token":
        logger().warning(
            "SECURITY", status=problem.status, code=problem.code, method=request.method, path=request.path
        )
    return problem.response()


def _of_aiohttp(error: web.HTTPException) -> Problem:
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status, "http_error")
    allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(error.status, code, HTTPStatus(error.status).description or error.reason, headers=allowed)


def _log_failure(request: web.Request, error: Exception) -> None:
    # Not the message: Postgres quotes whole rows in it, phone numbers included.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger().error(
        "REQUEST_FAILED", error=type(error).__name__, method=request.method, path=request.path, where=where
    )
