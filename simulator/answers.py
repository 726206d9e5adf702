"""Sends an answer as it should be, or as a fault has it."""

import asyncio
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from simulator.faults import Do, Fault
from simulator.recordings import Sound
from simulator.refusals import Refusal, usual

_HTML = b"""<html>\r
<head><title>Bad Gateway</title></head>\r
<body><center><h1>Bad Gateway</h1></center><hr><center>simulated</center></body>\r
</html>\r
"""


_PIECE_BYTES = 128 * 1024
_STALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, not yet sent."""

    status: int
    body: bytes | Sound
    content_type: str = "application/json;charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    """The carrier's error code in the body, if any."""


def json_answer(status: int, content: object) -> Answer:
    return Answer(status, json.dumps(content).encode())


def refusal_answer(refusal: Refusal, headers: dict[str, str] | None = None) -> Answer:
    return Answer(refusal.status, json.dumps(refusal.body).encode(), headers=headers or {}, code=refusal.code)


def no_content() -> Answer:
    return Answer(204, b"")


def fault_answer(fault: Fault, request: web.Request, answer: Answer) -> Answer:
    """What a fault makes of the right answer (drop and cut spoil only the sending)."""
    status = fault.http_status
    if fault.do is Do.ERROR:
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return refusal_answer(usual(status, fault.code, fault.message), headers)
    if fault.do is Do.HTML:
        return Answer(status, _HTML, "text/html")
    if fault.do is Do.REDIRECT:
        location = fault.location or str(request.url)
        return Answer(status, b"", headers={"Location": location})
    if fault.do is Do.TRUNCATE:
        return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.content_type)
    return answer


async def send(request: web.Request, answer: Answer, fault: Fault | None = None) -> web.StreamResponse:
    """The response, with the carrier's headers; or a connection closed under the caller's feet."""
    if fault is not None and fault.do is Do.DROP:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    headers = _headers(answer)
    if fault is not None and fault.do is Do.CUT:
        return await _send_half(request, answer, headers)
    if fault is not None and fault.do is Do.STALL:
        return await _stream(request, answer, headers, fault.seconds)
    if isinstance(answer.body, Sound):
        return await _stream(request, answer, headers)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def _stream(
    request: web.Request, answer: Answer, headers: dict[str, str], stall_seconds: float | None = 0.0
) -> web.StreamResponse:
    """Piece by piece, with a pause half way."""
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = len(answer.body)
    with suppress(ConnectionResetError):  # the caller has gone
        await response.prepare(request)
        half = len(answer.body) // 2
        for begin, end in ((0, half), (half, len(answer.body))):
            for at in range(begin, end if request.method == "GET" else begin, _PIECE_BYTES):
                await response.write(answer.body[at : min(at + _PIECE_BYTES, end)])
            if begin == 0:
                await pause(_STALL_SECONDS if stall_seconds is None else stall_seconds)
        await response.write_eof()
    return response


async def _send_half(request: web.Request, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()  # not abort: the half must still arrive
    return response


def _headers(answer: Answer) -> dict[str, str]:
    headers = {
        "Content-Type": answer.content_type,
        "Twilio-Request-Id": f"RQ{uuid.uuid4().hex}",
        "Twilio-Concurrent-Requests": "1",
        "X-API-Domain": "api.twilio.com",
        **answer.headers,
    }
    if answer.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return headers


async def pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
