"""`GET /api/events`: a snapshot of a business, then what changes in it, as it changes."""

import asyncio
import socket

from aiohttp import web

from control.context import CONTEXT
from control.events import sse
from control.events.watched import Stream
from control.requests.auth import Caller, business_asked_for, must_exist
from control.requests.patience import Patience
from control.requests.problems import Fault, invalid, unavailable
from control.resources import runs

SNAPSHOT_WITHIN_SECONDS = 5.0
# The kernel would take megabytes in for a client that does not read.
SEND_BUFFER_BYTES = 65_536


async def events(request: web.Request, caller: Caller) -> web.StreamResponse:
    """Open until the client leaves, is too slow, its key is revoked, or this process stops."""
    watcher = request.app[CONTEXT].watcher
    business_id, run_id = await _wanted(request, caller)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    stream = Stream(business_id, run_id, caller.key_id, transport)
    watcher.join(stream)
    try:
        snapshot = await stream.take(SNAPSHOT_WITHIN_SECONDS)
        if not snapshot:
            raise unavailable("no_snapshot", "the database did not answer; connect again")
        response = web.StreamResponse(headers=sse.HEADERS)
        await response.prepare(request)
        await _pass_on(stream, response, sse.GREETING + snapshot, request.app[CONTEXT].patience)
    finally:
        watcher.leave(stream)
    return response


async def _wanted(request: web.Request, caller: Caller) -> tuple[int, int | None]:
    """The business, and the run if it is only about one."""
    if (run_id := request.query.get("run_id")) is not None:
        run = await runs.named(request, caller, run_id)
        return run.business_id, run.run_id
    business_id = business_asked_for(request, caller)
    if business_id is None:
        raise invalid(Fault("/business_id", "name the business, or a run by run_id"))
    if caller.is_operator:
        await must_exist(request, business_id)
    return business_id, None


async def _pass_on(stream: Stream, response: web.StreamResponse, chunk: bytes, patience: Patience) -> None:
    """Nothing but a broken connection may leave here: the answer has begun."""
    try:
        while stream.ended is None:
            async with asyncio.timeout(patience.write_seconds):
                await response.write(chunk)
            chunk = await stream.take(patience.keep_alive_seconds) or sse.KEEP_ALIVE
    except TimeoutError:
        stream.cut("too slow")
    except ConnectionError:
        stream.end("gone")
