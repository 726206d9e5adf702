"""What never becomes a request, because it is not HTTP, is answered as every other error is.

Left to itself the library repeats the line that it did not like in its answer and in its log: a token, perhaps.
"""

import uuid

from aiohttp import web
from aiohttp.web_request import BaseRequest

from control.requests.problems import Problem, log_failure
from dialer.telemetry import logger


def answer_politely(server: web.Server | None) -> None:
    """Every connection that is made from now on."""
    if server is None:
        raise RuntimeError("set the runner up first")
    # The library makes its server by itself and knows no other place to say this.
    server.__class__ = _Server


class _Handler(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - what it quotes is the client's
    ) -> web.StreamResponse:
        """The answer; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, there is no room for an error")
        if status < 500:
            problem = Problem(status, "bad_request", "this is not HTTP as it is spoken here")
            logger().debug("request malformed", error=type(exc).__name__)
        else:
            problem = Problem(500, "internal_error", "something went wrong here; the log has the request id")
            log_failure(request, exc)
        response = problem.response()
        response.headers.update({"X-Request-Id": uuid.uuid4().hex, "Server": "dialer"})
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        handler = super().__call__()
        handler.__class__ = _Handler
        return handler
