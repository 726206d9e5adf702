"""The way to the carrier: through the proxy that the environment names, and without anybody else's password."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from dialer.edges.carrier import Carrier
from dialer.rules.model import Intent, Terms
from dialer.rules.outcome import Placed

ACCOUNT = "AC" + "0" * 32
TERMS = Terms(1, 1, 1, 3, 3, 1, False, "+15005550006", "<Response/>", None, False, False, 30, 600)


@asynccontextmanager
async def somebody() -> AsyncIterator[tuple[str, list[web.BaseRequest]]]:
    """Answers every request as the carrier would; its address, and what it was asked."""
    asked: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        asked.append(request)
        return web.json_response({"sid": "CA1", "status": "queued", "queue_time": "0"}, status=201)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def create(api: str) -> Any:
    carrier = Carrier(ACCOUNT, "secret", api, "https://here.example", 5.0)
    try:
        return await carrier.create(Intent(uuid4(), 1, 1, 0, "+12125550100", None), TERMS)
    finally:
        await carrier.close()


@pytest.fixture(autouse=True)
def no_proxy_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_a_proxy_that_the_environment_names_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with somebody() as (proxy, asked):
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("//", "//user:word@"))
        assert await create("http://carrier.invalid") == Placed("CA1", 0)
        [request] = asked
        assert request.headers["Host"] == "carrier.invalid"
        assert request.headers["Proxy-Authorization"].startswith("Basic ")
        assert "word" not in request.headers["Authorization"]


async def test_no_proxy_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with somebody() as (carrier, asked):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert await create(carrier) == Placed("CA1", 0)
        assert len(asked) == 1


async def test_a_password_kept_for_other_programs_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Found by reading: with a default in ~/.netrc every create ended unknown, and kept its slot for minutes."""
    (tmp_path / ".netrc").write_text("default login other password word\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with somebody() as (carrier, asked):
        assert await create(carrier) == Placed("CA1", 0)
        assert "Authorization" in asked[0].headers
