"""A port in front of a server, at which a test can break the way to it and mend it again, while it is used.

A `Proxy` stands before the server of a URL (postgresql://, redis://, unix:// as redis-py writes it, or http://);
`proxy.url` leads through it.

    pass_all()         the way is free; this mends everything below
    cut()              every connection breaks now; new ones are let through
    refuse()           every connection breaks now; nobody listens any more
    delay(seconds)     everything takes so much longer, each way
    freeze()           nothing passes; what was held is delivered by pass_all, as after a network's pause
    swallow(...)       what is sent is lost (only the answers, if wanted); its connection breaks at pass_all
    forget()           those that are open are dead and nobody says so, as after a fail-over; new ones pass
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs, urlsplit

CHUNK = 65_536
_PORTS = {"postgresql": 5432, "redis": 6379, "http": 80}


class Way(Enum):
    """Of a chunk of bytes."""

    THERE = "there"
    BACK = "back"


@dataclass(eq=False)
class _Link:
    """One connection through the proxy: the client's end, the server's end, and what passes bytes on."""

    ends: list[asyncio.StreamWriter] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    lost_something: bool = False
    is_forgotten: bool = False

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Passes connections on to the server of `server`, unless told otherwise. Open it before use."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._listener: asyncio.Server | None = None
        self._place: socket.socket | None = None
        self._links: set[_Link] = set()
        self._moves = asyncio.Event()
        self._moves.set()
        self._lost: set[Way] = set()
        self._delay = 0.0
        self.swallowed: list[bytes] = []

    @property
    def url(self) -> str:
        """The server's URL, through here."""
        assert self._place is not None, "open it first"
        parts = urlsplit(self._server)
        there = f"127.0.0.1:{self._place.getsockname()[1]}"
        if parts.scheme == "unix":
            return f"redis://{there}/{parse_qs(parts.query).get('db', ['0'])[0]}"
        user, at, _ = parts.netloc.rpartition("@")
        return f"{parts.scheme}://{user}{at}{there}{parts.path}"

    @property
    def connections(self) -> int:
        return len(self._links)

    # -- what a test does -------------------------------------------------------------------------------

    async def pass_all(self) -> None:
        """Mend it, from whatever."""
        for link in self._links:
            if link.lost_something:
                link.abort()
        self._lost = set()
        self._delay = 0.0
        self.swallowed.clear()
        self._moves.set()
        if self._listener is None:
            await self._listen()

    def cut(self) -> None:
        """Break every connection."""
        for link in self._links:
            link.abort()

    async def refuse(self) -> None:
        """Break every connection, and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    def delay(self, seconds: float) -> None:
        """Hold everything up for so long, each way."""
        self._delay = seconds

    def freeze(self) -> None:
        """Let nothing pass; connections are still taken."""
        self._moves.clear()

    def swallow(self, *, answers_only: bool = False) -> None:
        """Lose what is sent; with `answers_only` the server still hears and acts. See `swallowed`."""
        self._lost = {Way.BACK} if answers_only else {Way.THERE, Way.BACK}

    def forget(self) -> None:
        """Pass nothing on of what is open now, never again, without breaking it."""
        for link in self._links:
            link.is_forgotten = True

    def bury(self) -> None:
        """Break those that were forgotten: by themselves their servers would notice after hours."""
        for link in self._links:
            if link.is_forgotten:
                link.abort()

    # -- open and close ---------------------------------------------------------------------------------

    async def open(self) -> None:
        # A socket that is bound and never listens keeps the port ours while nobody listens.
        self._place = _bound(0)
        await self._listen()

    async def close(self) -> None:
        await self.refuse()
        tasks = [link.task for link in self._links if link.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._place is not None:
            self._place.close()

    async def _listen(self) -> None:
        assert self._place is not None
        port = self._place.getsockname()[1]
        self._listener = await asyncio.start_server(self._let_in, sock=_bound(port))

    # -- how --------------------------------------------------------------------------------------------

    def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer])
        self._links.add(link)
        link.task = asyncio.ensure_future(self._serve(link, reader, writer))

    async def _serve(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                there, beyond = await self._connect()
                link.ends.append(beyond)
                await asyncio.gather(
                    self._pass_on(link, Way.THERE, reader, beyond), self._pass_on(link, Way.BACK, there, writer)
                )
        finally:
            link.abort()
            self._links.discard(link)

    async def _pass_on(
        self, link: _Link, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._moves.wait()
            if link.is_forgotten:
                continue
            if way in self._lost or link.lost_something:
                link.lost_something = True
                self.swallowed.append(data)
                continue
            sink.write(data)
            await sink.drain()
        await self._moves.wait()
        if not link.lost_something and not link.is_forgotten:
            sink.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._server)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(parts.path)
        directory = parse_qs(parts.query).get("host", [""])[0]
        if directory.startswith("/"):
            return await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.{parts.port or 5432}")
        return await asyncio.open_connection(parts.hostname or directory, parts.port or _PORTS[parts.scheme])


@contextlib.asynccontextmanager
async def proxy_before(server: str) -> AsyncIterator[Proxy]:
    """An open proxy; closed with all its connections at the end."""
    proxy = Proxy(server)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made
