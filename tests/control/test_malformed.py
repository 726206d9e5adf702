"""Control as its process serves it, and bytes that are hardly HTTP: answered as every other error, repeated nowhere."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from control.__main__ import runner_of
from control.app import build
from control.context import CONTEXT
from control.requests.malformed import answer_politely
from tests.control.house import OPERATOR, settings_for
from tests.support.waiting import eventually

BOMB = gzip.compress(b'{"name": "' + b"x" * 30_000_000 + b'"}')

NOT_HTTP = {
    "noise": b"\x16\x03\x01MARK\r\n\r\n",
    "a method that nobody knows": b"MARK /livez HTTP/1.1\r\n\r\n",
    "a NUL in a header": b"GET /livez HTTP/1.1\r\nAuthorization: Bearer MARK\x00\r\n\r\n",
    "a header without a name": b"GET /livez HTTP/1.1\r\n: MARK\r\n\r\n",
    "a header too long": b"GET /livez HTTP/1.1\r\nX-Long: MARK" + b"a" * 20_000 + b"\r\n\r\n",
    "a path too long": b"GET /MARK" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "too many headers": b"GET /livez HTTP/1.1\r\n" + b"X-MARK: a\r\n" * 500 + b"\r\n",
    "two lengths": b"POST /api/runs HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nMARK",
    "a length that is none": b"POST /api/runs HTTP/1.1\r\nContent-Length: MARK\r\n\r\n",
    "a length and chunks": b"POST /api/runs HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nMARK",
    "bytes in the path": b"GET /MARK\xff HTTP/1.1\r\n\r\n",
}


async def test_what_is_no_http_is_answered_too_and_not_repeated(
    database: str, redis_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(database, redis_url) as port:
        for name, data in NOT_HTTP.items():
            head, body = await _spoken_to(port, data)
            assert head.split(" ", 2)[1] == "400", name
            assert "X-Request-Id: " in head
            assert "Content-Type: application/problem+json" in head
            assert json.loads(body)["code"] == "bad_request"
            assert "MARK" not in head + body, name
    said = capsys.readouterr()
    assert "MARK" not in caplog.text + said.out + said.err


async def test_an_expectation_that_nobody_knows_is_answered_as_a_problem(database: str, redis_url: str) -> None:
    async with served(database, redis_url) as port:
        request = (
            b"POST /api/runs HTTP/1.1\r\nHost: x\r\nExpect: MARK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        head, body = await _spoken_to(port, request)
        assert head.startswith("HTTP/1.1 417")
        assert "X-Request-Id: " in head
        assert "MARK" not in head + body
        request = request.replace(b"MARK", b"100-continue").replace(b"Host", b"Authorization: Bearer x\r\nHost")
        head, _ = await _spoken_to(port, request)
        assert head == "HTTP/1.1 100 Continue"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "nobody-knows", "identity, gzip"])
async def test_a_compressed_body_is_never_inflated(database: str, redis_url: str, encoding: str) -> None:
    async with served(database, redis_url) as port:
        head = (
            f"POST /api/businesses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(BOMB)}\r\n\r\n"
        )
        head, body = await _spoken_to(port, head.encode() + BOMB)
    assert head.startswith("HTTP/1.1 415")
    assert "\r\nAccept-Encoding: identity\r\n" in head
    assert json.loads(body)["code"] == "unsupported_encoding"


async def _spoken_to(port: int, data: bytes) -> tuple[str, str]:
    """What is answered to these bytes until the connection is closed: head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    finally:
        writer.transport.abort()
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


@contextlib.asynccontextmanager
async def served(database: str, redis_url: str, **settings: str) -> AsyncIterator[int]:
    """Control as its process serves it; the port."""
    app = build(settings_for(database, redis_url, **settings))
    runner = runner_of(app)
    await runner.setup()
    answer_politely(runner.server)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await eventually(lambda: app[CONTEXT].schema.current)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
