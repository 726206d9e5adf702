"""GET and HEAD /api/recordings/file/{call_sid}: the sound of a call, streamed, whole or in part.

A look changes nothing: what is on its way comes by itself, what has failed waits for its retry.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from aiohttp import web

from control.context import CONTEXT
from control.database import Row
from control.requests.answers import answer
from control.requests.auth import Caller
from control.requests.problems import AnswerWith, Problem, not_found, unavailable
from control.resources.recordings import named
from control.resources.recordings_range import Beyond, Part, Unchanged, Wanted, Whole, wanted
from dialer.edges.shelf import Shelf
from dialer.errors import TryAgainLater
from dialer.telemetry import logger

ON_ITS_WAY = ("queued", "running")
ASK_AGAIN_SECONDS, ASK_AGAIN_AT_MOST_SECONDS = 2, 60
# A bucket's client tries again by itself, for longer than a caller waits.
LOOK_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class File:
    """A recording that is there. `name`: below the root of the shelf; `size` in bytes."""

    call_sid: str
    name: str
    content_type: str
    size: int
    etag: str

    @property
    def shown_name(self) -> str:
        return f"{self.call_sid}.{self.name.rpartition('.')[2]}"

    def headers(self) -> dict[str, str]:
        return {
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": f'inline; filename="{self.shown_name}"',
            "X-Content-Type-Options": "nosniff",
        }


async def send(request: web.Request, caller: Caller) -> web.StreamResponse:
    call_sid = request.match_info["call_sid"]
    row = await named(request, caller, call_sid, "recording_file")
    if row["status"] in ON_ITS_WAY:
        again = str(_seconds_until(row["due_in_seconds"]))
        return answer({"call_sid": call_sid, "status": row["status"]}, 202, **{"Retry-After": again})
    file = _file(call_sid, row)
    shelf = request.app[CONTEXT].shelf
    await _must_be_there(shelf, file)
    return await _answer(request, shelf, file, wanted(request.method, request.headers, file.etag, file.size))


def _seconds_until(due: float | None) -> int:
    return max(ASK_AGAIN_SECONDS, min(math.ceil(due or 0), ASK_AGAIN_AT_MOST_SECONDS))


def _file(call_sid: str, row: Row) -> File:
    if row["deleted"]:
        raise not_found("recording any more: it was kept for as long as recordings are", "recording_deleted")
    if row["status"] == "completed":
        etag = f'"{row["sha256"]}"'
        return File(call_sid, row["file_name"], row["content_type"], row["bytes"], etag)
    if row["error_code"] == "absent":
        raise not_found("recording: the carrier made none of this call", "recording_absent")
    if row["status"] == "cancelled":
        raise not_found("recording: it was not to be fetched", "recording_cancelled")
    raise not_found("recording: it could not be fetched; retry asks for it again", "recording_failed")


async def _must_be_there(shelf: Shelf, file: File) -> None:
    try:
        async with asyncio.timeout(LOOK_WITHIN_SECONDS):
            size = await shelf.size(file.name)
    except (TryAgainLater, TimeoutError) as away:
        raise _away(away) from away
    if size != file.size:
        # Deleted by hand, or this very moment as too old.
        logger().error("RECORDING_MISSING", call_sid=file.call_sid, file=file.shown_name, bytes=size)
        raise not_found("recording any more: its file is not where it was", "recording_missing")


def _away(away: Exception) -> AnswerWith:
    logger().warning("DEPENDENCY_AWAY", what=type(away).__name__)
    return unavailable("recordings_away", "the place where recordings are kept did not answer; try again")


async def _answer(request: web.Request, shelf: Shelf, file: File, what: Wanted) -> web.StreamResponse:
    match what:
        case Unchanged():
            return web.Response(status=304, headers=file.headers())
        case Beyond():
            headers = {"Content-Range": f"bytes */{file.size}", "Accept-Ranges": "bytes"}
            raise AnswerWith(Problem(416, "range_not_satisfiable", "the file ends before that", headers=headers))
        case Part(start, end):
            response = web.StreamResponse(status=206, headers=file.headers())
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        case Whole():
            start, end = 0, file.size
            response = web.StreamResponse(headers=file.headers())
    response.content_type = file.content_type
    response.content_length = end - start
    if request.method == "HEAD":
        return response
    async with contextlib.aclosing(shelf.read(file.name, start, end - start)) as pieces:
        await _stream(request, response, pieces, file)
    return response


async def _stream(
    request: web.Request, response: web.StreamResponse, pieces: AsyncGenerator[bytes, None], file: File
) -> None:
    """Send the bytes. Where that fails, the connection breaks: less than was announced is nobody's whole file."""
    left = response.content_length or 0
    try:
        # While an error can still be an answer.
        async with asyncio.timeout(LOOK_WITHIN_SECONDS):
            piece = await anext(pieces)
    except (TryAgainLater, TimeoutError) as away:
        raise _away(away) from away
    await response.prepare(request)
    try:
        while True:
            await response.write(piece)
            left -= len(piece)
            piece = await anext(pieces)
    except StopAsyncIteration:
        pass
    except ConnectionError:
        logger().debug("recording not taken whole", call_sid=file.call_sid, bytes_left=left)
    except TryAgainLater as away:
        logger().warning("RECORDING_CUT", call_sid=file.call_sid, error=type(away).__name__, bytes_left=left)
    if left and request.transport is not None:
        request.transport.abort()
