"""`python -m simulator` as a program."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from simulator.settings import DEFAULT_AUTH_TOKEN

ACCOUNT = "AC" + "f" * 32


@asynccontextmanager
async def program(*flags: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", *flags, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_starts_prints_its_line_and_stops(stop: signal.Signals) -> None:
    async with program("--port", "0", "--account", ACCOUNT, "--ring-seconds", "0.5") as process:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = json.loads(await process.stdout.readline())["url"]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/_sim") as answer:
                body = await answer.json()
            assert (body["url"], body["settings"]["ring_seconds"]) == (url, 0.5)
            assert body["settings"]["account_sid"] == ACCOUNT
            held = asyncio.create_task(session.get(f"{url}/_sim/wait?creates=1&timeout=60"))
            async with session.get(f"{url}/_sim") as answer:
                assert answer.status == 200
            process.send_signal(stop)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
                with pytest.raises(aiohttp.ClientError):
                    await held


@pytest.mark.parametrize(
    "flags", [["--port", "x"], [], ["--port", "0", "--jitter", "7"], ["--port", "0", "--colour", "red"]]
)
async def test_bad_usage(flags: list[str]) -> None:
    async with program(*flags) as process:
        async with asyncio.timeout(20):
            _, talk = await process.communicate()
        assert process.returncode == 2
        assert b"usage:" in talk


async def test_an_address_in_use() -> None:
    async with program("--port", "0") as first:
        assert first.stdout is not None
        async with asyncio.timeout(20):
            url = json.loads(await first.stdout.readline())["url"]
        async with program("--port", url.rpartition(":")[2]) as second, asyncio.timeout(20):
            out, talk = await second.communicate()
        assert (second.returncode, out) == (1, b"")
        assert b"cannot listen" in talk


async def test_help_names_every_setting_and_hides_nothing() -> None:
    async with program("--help") as process:
        async with asyncio.timeout(20):
            out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"--no-answer-seconds" in out
    assert DEFAULT_AUTH_TOKEN.encode() in out
