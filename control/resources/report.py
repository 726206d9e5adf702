"""GET /api/runs/{run_id}/report.csv: a run for people and their spreadsheets, one row a job, streamed."""

import asyncio
import csv
import io
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from control.context import CONTEXT
from control.database import Database, Row
from control.requests.auth import Caller
from control.resources import runs
from dialer.errors import TryAgainLater
from dialer.telemetry import logger

# Small enough to be made between two callbacks; no connection is held while it is sent.
ROWS_AT_ONCE = 500
# A client that takes nothing for so long is gone, or holds our memory on purpose.
WRITE_WITHIN_SECONDS = 30.0

COLUMNS = (
    *("job_id", "lead_id", "phone", "name", "variables", "status", "disposition", "call_sid"),
    *("error_code", "error_message", "attempts_made"),
    *("created_at", "dialed_at", "answered_at", "ended_at", "duration_seconds"),
)
# What spreadsheets evaluate.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_PHONE = re.compile(r"\+[0-9]+")


async def report(request: web.Request, caller: Caller) -> web.StreamResponse:
    run = await runs.readable(request, caller, "run_of_report", "run", request.match_info["run_id"])
    run_id, zone = run["run_id"], _zone(run["timezone"])
    database = request.app[CONTEXT].database
    # Before anything is sent: as long as nothing is, an error can still be an answer.
    first = await _page(database, run_id, None)
    response = web.StreamResponse(headers=_headers(run_id))
    try:
        await response.prepare(request)
        await _send(response, _lines(database, run_id, zone, first))
    except BaseException as error:
        _cut(request)
        # The database went away, or the client did: anything else is a defect, and logged as one.
        if not isinstance(error, (TryAgainLater, OSError)):
            raise
        logger().warning("REPORT_CUT", run_id=run_id, error=type(error).__name__)
    return response


async def _send(response: web.StreamResponse, texts: AsyncIterator[str]) -> None:
    async for text in texts:
        async with asyncio.timeout(WRITE_WITHIN_SECONDS):
            await response.write(text.encode())
    async with asyncio.timeout(WRITE_WITHIN_SECONDS):
        await response.write_eof()


async def _lines(database: Database, run_id: int, zone: tzinfo, page: list[Row]) -> AsyncIterator[str]:
    """The file in pieces; each is read when the one before has been sent."""
    yield as_csv([COLUMNS])
    while page:
        yield as_csv(_cells(job, zone) for job in page)
        page = await _page(database, run_id, page[-1]["position"]) if len(page) == ROWS_AT_ONCE else []


async def _page(database: Database, run_id: int, after: int | None) -> list[Row]:
    return await database.rows("page_of_jobs", run_id, after, ROWS_AT_ONCE)


def _headers(run_id: int) -> dict[str, str]:
    return {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="run-{run_id}.csv"',
        "Cache-Control": "no-store",
    }


def _cut(request: web.Request) -> None:
    """Reset the connection: half a report must not look like a whole one, to HTTP/1.0 clients either."""
    transport = request.transport
    if transport is None:
        return
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        return UTC  # written by hand, or not known on this machine; each time names its offset


def _cells(job: Row, zone: tzinfo) -> list[Any]:
    return [_cell(job[column], zone) for column in COLUMNS]


def _cell(value: Any, zone: tzinfo) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="seconds")
    return neutral(value) if isinstance(value, str) else value


def neutral(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would take for a formula. Phone numbers are none."""
    return f"'{text}" if _FORMULA.match(text) and not _PHONE.fullmatch(text) else text


def as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Lines of CSV (RFC 4180); None is an empty cell."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()
