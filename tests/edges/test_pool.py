"""Which time-outs tell that connections are dead, and which only that there is a crowd. Daemon's pool and control's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control.database import MOST_CONNECTIONS, Database
from dialer.edges.pool import Statements
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from tests.support.waiting import eventually

Ask = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def opened(kind: str, dsn: str) -> AsyncIterator[tuple[Ask, int]]:
    """A question to Postgres, and how many can be asked at once."""
    if kind == "dialer":
        store = await Store.connect(dsn, connections=1)
        assert isinstance(store, Statements)
        yield store.installation, 1
        await store.close()
    else:
        database = Database(dsn)
        await database.open()
        yield lambda: database.rows("installation", timeout=30.0), MOST_CONNECTIONS
        await database.close()


async def asking(pool: Any) -> list[int]:
    """The backends of whoever asks for the installation's id, at work or at rest."""
    rows = await pool.fetch(
        """SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
           AND query LIKE '%FROM installation%' ORDER BY pid"""
    )
    return [row["pid"] for row in rows]


@pytest.mark.parametrize("kind", ["dialer", "control"])
async def test_a_crowd_that_waits_in_vain_does_not_cost_the_connections(
    pool: Any, database: str, kind: str
) -> None:
    async with opened(kind, database) as (ask, at_once), pool.acquire() as blocker:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE installation IN ACCESS EXCLUSIVE MODE")
            at_work = [asyncio.ensure_future(ask()) for _ in range(at_once)]
            await eventually(lambda: _are(pool, at_once))
            before = await asking(pool)
            with pytest.raises(DatabaseAway):
                await ask()
        await asyncio.gather(*at_work)
        await ask()
        assert await asking(pool) == before, "every connection was replaced"


async def _are(pool: Any, count: int) -> bool:
    return len(await asking(pool)) == count
