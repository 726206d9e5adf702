"""Embedded servers without anything left from an earlier time."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import redis

_DATABASE = "demo"


def fresh_database(dsn: str) -> str:
    """Make an empty database on this server in place of the one made before; returns its DSN.

    Whoever holds the embedded servers is alone with them, so nobody else uses that one.
    """
    asyncio.run(_replace_database(dsn))
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{_DATABASE}"))


def empty_redis(url: str) -> None:
    """Remove all keys."""
    with redis.Redis.from_url(url) as client:
        client.flushall()


async def _replace_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {_DATABASE} TEMPLATE template0")
    finally:
        await connection.close()
