"""Connections are opened and have run what takes longest the first time, before a call waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control.database import Database
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from dialer.intake import NO_EVENTS
from dialer.lender import KEEP
from tests.support.proxy import proxy_before

WARMED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%take_plain_events%'
"""


@asynccontextmanager
async def opened(kind: str, dsn: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """What warms the connections of the one or the other."""
    if kind == "dialer":
        store = await Store.connect(dsn)
        yield store.warm_up
        await store.close()
    else:
        database = Database(dsn)
        await database.open()
        yield lambda: database.warm(NO_EVENTS)
        await database.close()


async def rows_of_all_tables(pool: Any) -> dict[str, int]:
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {t["tablename"]: await pool.fetchval(f'SELECT count(*) FROM "{t["tablename"]}"') for t in tables}


@pytest.mark.parametrize("kind", ["dialer", "control"])
async def test_all_that_are_kept_are_warm_and_nothing_is_written(pool: Any, database: str, kind: str) -> None:
    before = await rows_of_all_tables(pool)
    async with opened(kind, database) as warm:
        await warm()
        assert await pool.fetchval(WARMED) == KEEP
    assert await rows_of_all_tables(pool) == before


@pytest.mark.parametrize("kind", ["dialer", "control"])
async def test_a_database_that_is_away_is_said_to_be(database: str, kind: str) -> None:
    async with proxy_before(database) as proxy, opened(kind, proxy.url) as warm:
        await proxy.refuse()
        with pytest.raises(DatabaseAway):
            await warm()
