"""A client of `GET /api/events`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from control.context import CONTEXT
from control.events.watched import Stream
from control.events.watcher import Watcher
from tests.control.house import AUTH_TOKEN, OPERATOR, House
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Event:
    id: str
    name: str
    data: Any


class Listener:
    """Reads events; `heard` has all of them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.heard: list[Event] = []

    async def next(self, within: float = 5.0) -> Event:
        """The next event. Raises EOFError when the stream has ended."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within):
            while line := (await self._response.content.readline()).decode():
                if line != "\n":
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    self.heard.append(Event(fields["id"], fields["event"], json.loads(fields["data"])))
                    return self.heard[-1]
        raise EOFError

    async def comment(self) -> None:
        """Read on to a comment."""
        async with asyncio.timeout(5):
            while not (await self._response.content.readline()).startswith(b":"):
                pass

    async def until(self, is_it: Callable[[Event], bool], within: float = 5.0) -> Event:
        """Read on to the event that is meant."""
        async with asyncio.timeout(within):
            while not is_it(event := await self.next(within)):
                pass
        return event

    async def job(self, job_id: int, **expected: Any) -> Event:
        """Read on until this job is told to be so."""
        return await self.until(
            lambda event: event.name == "job" and {"job_id": job_id, **expected}.items() <= event.data.items()
        )


@asynccontextmanager
async def listening(
    house: House, query: str, token: str = OPERATOR, **headers: str
) -> AsyncIterator[tuple[Listener, dict[str, Any]]]:
    """A listener, and the snapshot that it was greeted with."""
    headers = {"Authorization": f"Bearer {token}", **headers}
    async with house.client.get(f"/api/events?{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        listener = Listener(response)
        snapshot = await listener.next()
        assert snapshot.name == "snapshot"
        yield listener, snapshot.data


def open_streams(house: House) -> list[Stream]:
    watcher: Watcher = house.client.app[CONTEXT].watcher
    return watcher.streams


@asynccontextmanager
async def serving(database: str, redis_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Control as a process, and its URL."""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    environment |= {"DATABASE_URL": database, "REDIS_URL": redis_url, "CONTROL_PORT": "0", "LOG_FORMAT": "json"}
    environment |= {"TWILIO_AUTH_TOKEN": AUTH_TOKEN, "DIALER_ADMIN_TOKEN": OPERATOR}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control"), env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        url = await asyncio.wait_for(_url(process), 20)
        async with aiohttp.ClientSession(url) as session:
            await eventually(lambda: _is_ready(session))
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        entry = json.loads(line)
        if entry["event"] == "STARTUP":
            return str(entry["url"])
    raise AssertionError("it has ended")


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    async with session.get("/readyz") as response:
        return response.status == 200
