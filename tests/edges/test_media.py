"""Fetching sound over HTTP, with everything that can go wrong on the way. Real HTTP, a simulated carrier."""

from __future__ import annotations

import asyncio
import resource
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dialer.edges.carrier_http import authorization
from dialer.edges.media import Media, Received
from dialer.rules.recording import Claimed, Trouble
from simulator import INSTANT, Simulator

MEGABYTE = 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def wanted(account: str, recording_sid: str = "RE1", sound: str = "mp3") -> Claimed:
    name = f"1/aa/CAaa.{sound}"
    return Claimed(1, 1, 1, 1, UUID(int=0), account, "CAaa", recording_sid, name, 1, 0, False, age_seconds=1.0)


class Listener:
    """What would go to the store."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.largest = 0

    async def write(self, block: bytes) -> None:
        self.heard += block
        self.largest = max(self.largest, len(block))


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(INSTANT).serve() as running:
        yield running


@pytest.fixture
async def media(sim: Simulator) -> AsyncIterator[Media]:
    opened = Media(sim.settings.account_sid, sim.settings.auth_token, sim.url, 0.3, 10)
    yield opened
    await opened.close()


async def recorded(sim: Simulator) -> Claimed:
    """A recorded call; its recording, to be fetched."""
    auth = authorization((sim.settings.account_sid, sim.settings.auth_token))
    form = {"To": "+15551230001", "From": "+15005550006", "Twiml": "<Response/>", "Record": "true"}
    async with (
        aiohttp.ClientSession(headers=auth) as http,
        http.post(f"{sim.url}/2010-04-01/Accounts/{sim.settings.account_sid}/Calls.json", data=form) as answer,
    ):
        assert answer.status == 201, await answer.text()
        call = (await answer.json())["sid"]
    assert await sim.wait_for(
        lambda: any(r.ready and r.call_sid == call for r in sim.exchange.recordings.values())
    )
    found = next(r for r in sim.exchange.recordings.values() if r.call_sid == call)
    return wanted(sim.settings.account_sid, found.sid)


def carriers_sound(sim: Simulator, claimed: Claimed) -> bytes:
    assert claimed.recording_sid is not None
    return sim.exchange.recordings[claimed.recording_sid].sound(f".{claimed.format}")[:]


@pytest.mark.parametrize("sound", ["mp3", "wav"])
async def test_the_sound_comes_as_the_carrier_has_it(sim: Simulator, media: Media, sound: str) -> None:
    claimed = replace(await recorded(sim), file_name=f"1/aa/CAaa.{sound}")
    listener = Listener()
    received = await media.fetch(claimed, listener.write)
    assert received == Received(len(listener.heard))
    assert bytes(listener.heard) == carriers_sound(sim, claimed)


@pytest.mark.parametrize(
    ("do", "details", "code", "lasting"),
    [
        ("error", {"status": 404}, "not_ready", False),
        ("error", {"status": 503}, "carrier_trouble", False),
        ("error", {"status": 429, "retry_after": 7}, "carrier_trouble", False),
        ("error", {"status": 401}, "refused", True),
        ("error", {"status": 403}, "refused", True),
        ("error", {"status": 410}, "gone", True),
        ("html", {"status": 502}, "carrier_trouble", False),
        ("drop", {"times": 2}, "cut", False),  # the client itself repeats a GET once
        ("cut", {}, "cut", False),
        ("truncate", {}, "truncated", False),
        ("stall", {"seconds": 5}, "stalled", False),
        ("slow", {"seconds": 5}, "stalled", False),
    ],
)
async def test_what_goes_wrong_is_told_by_its_name_and_the_next_try_is_well(
    sim: Simulator, media: Media, do: str, details: dict[str, float], code: str, lasting: bool
) -> None:
    claimed = await recorded(sim)
    sim.misbehave("media", do, **details)
    trouble = await media.fetch(claimed, Listener().write)
    assert isinstance(trouble, Trouble)
    assert (trouble.code, trouble.lasting, trouble.wait_seconds) == (code, lasting, details.get("retry_after"))
    assert sim.settings.auth_token not in trouble.reason
    assert sim.url not in trouble.reason
    listener = Listener()
    assert isinstance(await media.fetch(claimed, listener.write), Received)
    assert bytes(listener.heard) == carriers_sound(sim, claimed)


async def test_nobody_there() -> None:
    async with Simulator(INSTANT).serve() as gone:
        url = gone.url
    media = Media("AC1", "secret", url, 0.3, 10)
    trouble = await media.fetch(wanted("AC1"), Listener().write)
    assert isinstance(trouble, Trouble)
    assert (trouble.code, trouble.lasting) == ("unreachable", False)
    await media.close()


async def test_what_the_store_raises_comes_through(sim: Simulator, media: Media) -> None:
    async def full(_: bytes) -> None:
        raise LookupError("the store is full")

    with pytest.raises(LookupError):
        await media.fetch(await recorded(sim), full)


# -- answers that the simulator does not give -----------------------------------------------------------


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """A server that answers everything with a handler; its URL."""
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{anything:.*}", handler)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


async def fetch_from(base: str, sound: str = "mp3", stall: float = 5.0) -> tuple[Received | Trouble, bytes]:
    media, listener = Media("AC1", "secret", base, stall, 10), Listener()
    try:
        return await media.fetch(wanted("AC1", sound=sound), listener.write), bytes(listener.heard)
    finally:
        await media.close()


@pytest.mark.parametrize(
    ("body", "content_type", "code", "lasting"),
    [
        (b"<html>", "text/html", "wrong_type", True),
        (b"RIFF", "audio/x-wav", "wrong_type", True),
        (b"", "audio/mpeg", "empty", False),
    ],
)
async def test_answers_that_are_no_sound(
    serve: Callable[[Handler], Awaitable[str]], body: bytes, content_type: str, code: str, lasting: bool
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type)

    trouble, heard = await fetch_from(await serve(answer))
    assert isinstance(trouble, Trouble)
    assert (trouble.code, trouble.lasting, heard) == (code, lasting, b"")


async def test_credentials_go_to_the_carrier_alone(serve: Callable[[Handler], Awaitable[str]]) -> None:
    """The carrier redirects within itself, then elsewhere, which redirects back to the carrier."""
    seen: list[tuple[str, str, str | None]] = []
    carrier = elsewhere = ""

    async def at_carrier(request: web.Request) -> web.StreamResponse:
        seen.append(("carrier", request.path, request.headers.get("Authorization")))
        if request.path.endswith(".mp3"):
            raise web.HTTPFound("/second")
        if request.path == "/second":
            raise web.HTTPTemporaryRedirect(f"{elsewhere}/third")
        return web.Response(body=b"sound", content_type="audio/mpeg")

    async def at_elsewhere(request: web.Request) -> web.StreamResponse:
        seen.append(("elsewhere", request.path, request.headers.get("Authorization")))
        raise web.HTTPFound(f"{carrier}/fourth")

    carrier, elsewhere = await serve(at_carrier), await serve(at_elsewhere)
    received, heard = await fetch_from(carrier)
    assert (received, heard) == (Received(5), b"sound")
    told = [(where, path, secret is not None) for where, path, secret in seen[:4]]
    assert [(where, secret) for where, _, secret in told] == [
        ("carrier", True),
        ("carrier", True),
        ("elsewhere", False),
        ("carrier", False),
    ]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user:word@127.0.0.1/x", "", "http://[broken"])
async def test_redirects_to_nowhere_end_it(serve: Callable[[Handler], Awaitable[str]], location: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    trouble, _ = await fetch_from(await serve(answer))
    assert isinstance(trouble, Trouble)
    assert (trouble.code, trouble.lasting) == ("refused", True)


async def test_a_length_that_is_not_promised_is_asked_for(serve: Callable[[Handler], Awaitable[str]]) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": "10", "Content-Type": "audio/mpeg"})
        response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"sound")
        return response

    trouble, _ = await fetch_from(await serve(answer))
    assert isinstance(trouble, Trouble)
    assert trouble.code == "truncated"


async def test_who_refuses_the_question_for_the_length_contradicts_nobody(
    serve: Callable[[Handler], Awaitable[str]],
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            raise web.HTTPForbidden
        return web.Response(body=b"sound", content_type="audio/mpeg")

    assert await fetch_from(await serve(answer)) == (Received(5), b"sound")


async def test_memory_stays_flat_whatever_the_size(sim: Simulator) -> None:
    """Two hundred megabytes, ten at a time: what we hold meanwhile is a few blocks each."""
    sim.change(recording_bytes=20 * MEGABYTE)
    claims = [await recorded(sim) for _ in range(10)]
    media = Media(sim.settings.account_sid, sim.settings.auth_token, sim.url, 30.0, 10, bytes_per_second=10**9)
    received = 0

    async def forget(block: bytes) -> None:
        nonlocal received
        received += len(block)

    tracemalloc.start()
    try:
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        results = await asyncio.gather(*(media.fetch(claimed, forget) for claimed in claims))
        _, peak = tracemalloc.get_traced_memory()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
    finally:
        tracemalloc.stop()
        await media.close()
    assert results == [Received(20 * MEGABYTE)] * 10
    assert received == 200 * MEGABYTE
    # The simulator's own buffers are in it: it lives in this process.
    assert peak < 40 * MEGABYTE
    assert grown * 1024 < 100 * MEGABYTE
