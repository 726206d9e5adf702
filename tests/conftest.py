"""Fixtures for every test: real PostgreSQL and Valkey, a fresh migrated database for each test.

One pair of servers serves a test session (with xdist: each worker). `DATABASE_URL` and `REDIS_URL`, when set,
are used instead: the tests make databases of their own there and drop them again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio

from tests.support.databases import Databases
from tests.support.environment import isolate
from tests.support.servers import Servers, empty_redis, session_servers

_SESSION = secrets.token_hex(8)


def pytest_configure(config: pytest.Config) -> None:
    isolate(os.environ)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, whatever the order of the others: at the end one worker would wait for it alone."""
    items.sort(key=lambda item: "soak" not in item.keywords)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The session's servers. Tests that stop or break a server start their own instead."""
    with session_servers(os.environ, _SESSION) as running:
        yield running


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    made = Databases(servers.dsn)
    yield made
    made.close()


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """The DSN of a fresh database with the current schema, another installation than any other."""
    dsn = databases.create_migrated()
    yield dsn
    databases.drop(dsn)


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[str]:
    """The DSN of a fresh database without any table."""
    dsn = databases.create_empty()
    yield dsn
    databases.drop(dsn)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    """An asyncpg pool on `database`. A test that keeps a connection of it fails at the end."""
    opened = await asyncpg.create_pool(database, min_size=1, max_size=10, command_timeout=30)
    yield opened
    try:
        await asyncio.wait_for(opened.close(), 5)
    finally:
        opened.terminate()


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """The URL of the session's Redis database, emptied for this test."""
    empty_redis(servers, _SESSION)
    return servers.redis_url


@pytest_asyncio.fixture(name="redis")
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of `redis_url`, answering in bytes."""
    client = redis.asyncio.Redis.from_url(redis_url)
    yield client
    await client.aclose()
