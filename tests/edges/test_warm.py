"""Connections are opened and have run what takes longest the first time, before a call waits for them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from control.app import warm_up
from control.database import Database
from dialer import beginning
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from dialer.intake import NO_EVENTS
from dialer.lender import KEEP
from tests.support.proxy import proxy_before
from tests.support.waiting import eventually
from tests.system.stack import stack

CALLS = "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = $1"
WARMED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%take_plain_events%'
"""
COUNTED = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = %L', current_database(), 'all'); END $$
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
async def test_all_that_are_kept_are_there(pool: Any, database: str, kind: str) -> None:
    async with opened(kind, database) as warm:
        await warm()
        assert await pool.fetchval(WARMED) == KEEP


@pytest.mark.parametrize("kind", ["dialer", "control"])
async def test_nothing_is_written(pool: Any, database: str, kind: str) -> None:
    before = await rows_of_all_tables(pool)
    async with opened(kind, database) as warm:
        await warm()
    assert await rows_of_all_tables(pool) == before


async def test_both_warm_theirs_before_there_is_anything_to_do(
    pool: Any, database: str, redis_url: str, tmp_path: Path
) -> None:
    """Without a run nobody else writes intents, without a callback nobody takes events."""
    await pool.execute(COUNTED)

    async def is_warm() -> bool:
        return bool(await pool.fetchval(WARMED))

    async with stack(database, redis_url, tmp_path) as system:
        await eventually(is_warm)
        daemon = await system.daemon()
        assert system.control is not None
        # Connections that end have their calls counted; others after ten seconds.
        for process in (daemon, system.control):
            process.send(signal.SIGTERM)
            assert await process.ends() == 0
        await eventually(lambda: were_called(pool, "write_intents", KEEP))
        await eventually(lambda: were_called(pool, "take_plain_events", 2 * KEEP))


async def were_called(pool: Any, function: str, times: int) -> bool:
    return int(await pool.fetchval(CALLS, function)) == times


@pytest.mark.parametrize("kind", ["dialer", "control"])
async def test_a_database_that_is_away_is_said_to_be(database: str, kind: str) -> None:
    async with proxy_before(database) as proxy, opened(kind, proxy.url) as warm:
        await proxy.refuse()
        with pytest.raises(DatabaseAway):
            await warm()


@pytest.mark.parametrize("kind", ["dialer", "control"])
async def test_who_cannot_warm_them_now_goes_on_all_the_same(pool: Any, database: str, kind: str) -> None:
    """A migration may hold a table for longer than events are waited for."""
    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE outbound_call_attempts, outbound_call_run_counters")
        if kind == "dialer":
            store = await Store.connect(database)
            assert await beginning.warm_up(store)
            await store.close()
        else:
            served = Database(database)
            await served.open()
            with pytest.raises(DatabaseAway):
                await served.warm(NO_EVENTS)
            await warm_up(served)
            await served.close()
