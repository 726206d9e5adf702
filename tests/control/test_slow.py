"""Clients that are slow: to send their request, to read their answer, to listen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from control.__main__ import runner_of
from control.context import CONTEXT
from control.requests.patience import Patience
from control.requests.readers import Readers
from tests.control.house import OPERATOR, TWIML, House, news, sid
from tests.control.listening import listening, open_streams
from tests.support.runs import add_business, add_run
from tests.support.waiting import eventually

SLOW = Patience(pause_seconds=0.3, grace_seconds=0.6, bytes_per_second=1000)


@contextlib.asynccontextmanager
async def _connected(
    port: int, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection that takes in no more than is read from it."""
    plain = socket.socket()
    if receive_buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=1024)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _head(method: str, path: str, *headers: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {OPERATOR}", *headers, "", "")
    return "\r\n".join(lines).encode()


def _port(house: House) -> int:
    port = house.client.port
    assert port is not None
    return port


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await asyncio.wait_for(reader.readline(), 5)).split()[1])


async def test_a_body_that_stands_still_is_408(house: House) -> None:
    house.client.app[CONTEXT].patience = SLOW
    async with _connected(_port(house)) as (reader, writer):
        writer.write(_head("POST", "/api/runs", "Content-Type: application/json", "Content-Length: 100") + b'{"')
        assert await _status(reader) == 408


async def test_a_body_that_trickles_is_408_and_stores_nothing(house: House) -> None:
    house.client.app[CONTEXT].patience = SLOW
    business = await house.business()
    body = json.dumps({"business_id": business, "leads": [{"phone": "+972501234567"}], "twiml": TWIML}).encode()
    body += b" " * (10_000 - len(body))
    async with _connected(_port(house)) as (reader, writer):
        head = _head("POST", "/api/runs", "Content-Type: application/json", f"Content-Length: {len(body)}")
        writer.write(head)
        answered = asyncio.ensure_future(_status(reader))
        for byte in body:
            writer.write(bytes([byte]))
            # The pace of this client.
            if (await asyncio.wait({answered}, timeout=0.02))[0]:
                break
        assert await answered == 408
    assert (await house.ask("GET", f"/api/runs?business_id={business}")).data["data"] == []


async def test_a_slow_line_that_comes_on_is_served(house: House) -> None:
    """It takes longer than a body that stands still is given altogether."""
    house.client.app[CONTEXT].patience = SLOW
    body = json.dumps({"name": "Acme"}).encode().ljust(20_000)
    async with _connected(_port(house)) as (reader, writer):
        head = _head("POST", "/api/businesses", "Content-Type: application/json", f"Content-Length: {len(body)}")
        writer.write(head)
        answered = asyncio.ensure_future(_status(reader))
        for start in range(0, len(body), 1000):
            writer.write(body[start : start + 1000])
            await asyncio.wait({answered}, timeout=0.06)
        assert await answered == 201


async def test_a_head_that_does_not_come_whole_is_cut_off() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = runner_of(app, head_within_seconds=0.3)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with _connected(runner.addresses[0][1]) as (reader, writer):
            # Also after a request that was whole.
            writer.write(_head("GET", "/"))
            assert b"hello" in await asyncio.wait_for(reader.readuntil(b"hello"), 5)
            gone = asyncio.ensure_future(reader.read())
            for byte in _head("GET", "/", "X-Long: " + "x" * 10_000):
                writer.write(bytes([byte]))
                if (await asyncio.wait({gone}, timeout=0.02))[0]:
                    break
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(gone, 5) == b""
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("chunk", [0, 20_000])
async def test_who_does_not_read_is_cut_off_and_who_reads_slowly_is_not(chunk: int) -> None:
    size = 400_000
    transports: list[asyncio.Transport] = []

    async def large(request: web.Request) -> web.Response:
        assert request.transport is not None
        transports.append(request.transport)
        # Not the kernel's megabytes.
        plain = request.transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return web.Response(body=b"x" * size)

    readers = Readers(stuck_seconds=0.5)
    app = web.Application()
    app.router.add_get("/", large)
    app.on_response_prepare.append(readers.see)
    runner = runner_of(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with _connected(runner.addresses[0][1], receive_buffer=4096) as (reader, writer):
            writer.write(_head("GET", "/"))
            await eventually(lambda: transports)
            if chunk:
                await reader.readuntil(b"\r\n\r\n")
                for _ in range(size // chunk):
                    await asyncio.wait_for(reader.readexactly(chunk), 5)
                    await asyncio.sleep(0.05)  # the pace of this client
                    await readers.look()
            else:

                async def is_cut() -> bool:
                    await readers.look()
                    return transports[0].is_closing() and transports[0].get_write_buffer_size() == 0

                await eventually(is_cut)
    finally:
        await runner.cleanup()


async def test_who_does_not_read_holds_no_connection_to_the_database(house: House) -> None:
    """More such clients than control has connections."""
    business = await add_business(house.pool)
    run = await add_run(house.pool, business, 500)
    await house.pool.execute("UPDATE outbound_call_jobs SET name = repeat('x', 10000)")
    (attempt,) = await house.attempts()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            reader, writer = await stack.enter_async_context(_connected(_port(house), receive_buffer=4096))
            writer.write(_head("GET", f"/api/runs/{run.run_id}/jobs?limit=500"))
            # It has begun to answer, and cannot go on.
            assert await _status(reader) == 200
        assert (await house.call_status(attempt, news(sid(), 0, "ringing"))).status == 204


async def test_a_slow_listener_is_cut_off_and_nothing_is_kept_for_it(house: House) -> None:
    business = await add_business(house.pool, limit=1000)
    run = await add_run(house.pool, business, 40)
    context = house.client.app[CONTEXT]

    async def change_all(name: str) -> None:
        await house.pool.execute(
            "UPDATE outbound_call_jobs SET name = repeat($2, 50000) WHERE run_id = $1", run.run_id, name
        )
        for job in run.jobs:
            context.changes.note(business, run.run_id, job)

    async with (
        listening(house, f"business_id={business}") as (quick, _),
        _connected(_port(house), 4096) as (
            _,
            writer,
        ),
    ):
        writer.write(_head("GET", f"/api/events?business_id={business}"))
        await eventually(lambda: len(open_streams(house)) == 2)
        most = 0
        for round_ in range(40):
            await change_all("abcdefghij"[round_ % 10])
            await quick.job(run.jobs[-1], name="abcdefghij"[round_ % 10] * 50_000)
            streams = open_streams(house)
            most = max(most, *(stream.kept_bytes for stream in streams))
            if len(streams) == 1:
                break
        assert len(open_streams(house)) == 1
        # Four million wait at most, two more are being written.
        assert 2_000_000 < most < 7_000_000
