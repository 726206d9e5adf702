"""The proxy breaks what it says it breaks, and mends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.support.proxy import Proxy, proxy_before
from tests.support.waiting import eventually

SOON = 0.15


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers with what it hears, and what it heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1024):
                heard.append(data)
                writer.write(data)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


class Client:
    """A connection through a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, proxy: Proxy) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2])))

    def say(self, text: bytes) -> None:
        self.writer.write(text)

    async def hears(self, timeout: float = 5.0) -> bytes | None:
        """What comes next; empty at the end of the connection, None when nothing comes in time."""
        try:
            return await asyncio.wait_for(self.reader.read(1024), timeout)
        except TimeoutError:
            return None
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.writer.transport.abort()


@pytest.fixture
async def through() -> AsyncIterator[tuple[Proxy, Client, list[bytes]]]:
    async with echo() as (url, heard), proxy_before(url) as proxy:
        client = await Client.of(proxy)
        client.say(b"hello")
        assert await client.hears() == b"hello"
        yield proxy, client, heard
        client.close()


Through = tuple[Proxy, Client, list[bytes]]


async def test_a_cut_breaks_what_is_open_and_lets_new_ones_through(through: Through) -> None:
    proxy, client, _ = through
    proxy.cut()
    assert await client.hears() == b""
    await eventually(lambda: proxy.connections == 0)
    other = await Client.of(proxy)
    other.say(b"again")
    assert await other.hears() == b"again"
    other.close()


async def test_refused_is_refused_and_the_port_is_kept(through: Through) -> None:
    proxy, client, _ = through
    url = proxy.url
    for _ in range(2):
        await proxy.refuse()
        assert await client.hears() == b""
        client.close()
        with pytest.raises(ConnectionRefusedError):
            await Client.of(proxy)
        await proxy.pass_all()
        assert proxy.url == url
        client = await Client.of(proxy)
        client.say(b"back")
        assert await client.hears() == b"back"
    client.close()


async def test_a_delay_counts_each_way(through: Through) -> None:
    proxy, client, _ = through
    proxy.delay(0.1)
    asked = asyncio.get_running_loop().time()
    client.say(b"slow")
    assert await client.hears() == b"slow"
    assert 0.2 <= asyncio.get_running_loop().time() - asked < 2


async def test_what_was_frozen_is_delivered_later(through: Through) -> None:
    proxy, client, heard = through
    proxy.freeze()
    client.say(b"kept")
    assert await client.hears(SOON) is None
    assert heard == [b"hello"]
    await proxy.pass_all()
    assert await client.hears() == b"kept"


@pytest.mark.parametrize("answers_only", [True, False])
async def test_what_is_swallowed_is_lost_for_good(through: Through, answers_only: bool) -> None:
    proxy, client, heard = through
    proxy.swallow(answers_only=answers_only)
    client.say(b"lost")
    assert await client.hears(SOON) is None
    assert proxy.swallowed == [b"lost"]
    assert heard == ([b"hello", b"lost"] if answers_only else [b"hello"])
    await proxy.pass_all()
    assert await client.hears() == b""


async def test_what_is_forgotten_stays_dead_and_new_ones_pass(through: Through) -> None:
    proxy, client, heard = through
    proxy.forget()
    client.say(b"lost")
    await proxy.pass_all()
    assert await client.hears(SOON) is None
    assert heard == [b"hello"]
    other = await Client.of(proxy)
    other.say(b"new")
    assert await other.hears() == b"new"
    other.close()


async def test_it_stands_before_postgres_and_redis(database: str, redis_url: str) -> None:
    async with proxy_before(database) as postgres, proxy_before(redis_url) as redis:
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("SELECT current_database()") in database
        client = Redis.from_url(redis.url)
        await client.set("through", "it")
        direct = Redis.from_url(redis_url)
        assert await direct.get("through") == b"it"
        assert (postgres.connections, redis.connections) == (1, 1)
        for closing in (connection.close, client.aclose, direct.aclose):
            await closing()


async def test_closing_it_leaves_nothing_open() -> None:
    before = set(asyncio.all_tasks())
    async with echo() as (url, _):
        clients: list[Client] = []
        breaks: list[Callable[[Proxy], None]] = [Proxy.freeze, Proxy.swallow, lambda p: p.delay(60)]
        for spoil in breaks:
            async with proxy_before(url) as proxy:
                clients += [await Client.of(proxy) for _ in range(20)]
                spoil(proxy)
                for client in clients[-20:]:
                    client.say(b"x")
                await eventually(lambda p=proxy: p.connections == 20)  # type: ignore[misc]  # bound at once
        for client in clients:
            assert await client.hears() == b""
            client.close()
        await eventually(lambda: set(asyncio.all_tasks()) <= before)
