"""Valkey over TLS: the embedded one is built without, so something of ours speaks it before the server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trustme
from redis.asyncio.connection import parse_url

from tests.support.redises import HOST, Cluster, cluster_node, form, free_port, running


@dataclass(frozen=True)
class Secured:
    """Speaks TLS before a Redis, with a certificate of the authority whose own is in that file."""

    port: int
    authority: Path
    database: int = 0

    @property
    def url(self) -> str:
        return f"rediss://localhost:{self.port}/{self.database}?ssl_ca_certs={self.authority}"


@dataclass(frozen=True)
class SecuredCluster:
    url: str


@contextlib.asynccontextmanager
async def secured_cluster(home: Path) -> AsyncIterator[SecuredCluster]:
    """Three nodes that tell clients of each other by the addresses that speak TLS."""
    async with contextlib.AsyncExitStack() as stack:
        authority, nodes, hosts = trustme.CA(), [], []
        for n in range(3):
            port = free_port()
            before = await stack.enter_async_context(secured(f"redis://{HOST}:{port}", home, authority))
            nodes.append(cluster_node(home / f"node-{n}", port, before.port))
            hosts.append(f"{HOST}:{before.port}")
        await stack.enter_async_context(running(*nodes))
        await form(Cluster(tuple(nodes)))
        yield SecuredCluster(f"rediss+cluster://{','.join(hosts)}?ssl_ca_certs={before.authority}")


@contextlib.asynccontextmanager
async def secured(redis_url: str, home: Path, authority: trustme.CA | None = None) -> AsyncIterator[Secured]:
    """TLS before a server that knows none: the embedded one is built without."""
    authority = authority or trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", HOST).configure_cert(context)
    authority.cert_pem.write_to_path(home / "authority.pem")
    links: set[asyncio.Task[None]] = set()

    async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        links.add(task)
        try:
            await _join(redis_url, reader, writer)
        finally:
            links.discard(task)

    server = await asyncio.start_server(let_in, "localhost", 0, family=socket.AF_INET, ssl=context)
    try:
        # The same database: others may use the server's other ones just now.
        database = int(parse_url(redis_url).get("db") or 0)
        yield Secured(server.sockets[0].getsockname()[1], home / "authority.pem", database)
    finally:
        server.close()
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _join(redis_url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        there, beyond = await asyncio.open_unix_connection(parts.path)
    else:
        there, beyond = await asyncio.open_connection(parts.hostname, parts.port)

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(pass_on(reader, beyond), pass_on(there, writer))
