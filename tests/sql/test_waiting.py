"""A process that does not migrate waits for the schema, and goes on soon after it is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from sql.migrate import LOCK, Applied, Skipped, ensure_schema, migrate, wait_until_current
from tests.support.waiting import eventually


async def test_it_waits_for_the_migration_and_goes_on(empty_database: str, files: Path) -> None:
    async with asyncpg.create_pool(empty_database, min_size=0, max_size=1) as pool:
        with capture_logs() as logs:
            waiting = asyncio.create_task(wait_until_current(pool.acquire, directory=files))
            await eventually(lambda: logs)
            await migrate(empty_database, directory=files)
            await asyncio.wait_for(waiting, 5)
    assert [(log["event"], log.get("seen")) for log in logs if log["event"].startswith("SCHEMA")] == [
        ("SCHEMA_WAIT", 0),
        ("SCHEMA_CURRENT", None),
    ]


async def test_a_schema_that_is_current_or_newer_is_not_waited_for(empty_database: str, files: Path) -> None:
    await migrate(empty_database, directory=files)
    (files / "0002_inks.sql").unlink()
    async with asyncpg.create_pool(empty_database, min_size=0, max_size=1) as pool:
        with capture_logs() as logs:
            await asyncio.wait_for(wait_until_current(pool.acquire, poll_seconds=60, directory=files), 5)
    assert logs == []


async def test_an_older_schema_is_never_taken(empty_database: str, files: Path) -> None:
    await migrate(empty_database, directory=files)
    (files / "0003_nibs.sql").write_text("CREATE TABLE nibs (id int);")
    async with asyncpg.create_pool(empty_database, min_size=0, max_size=1) as pool:
        looks = 0

        @contextlib.asynccontextmanager
        async def counted() -> AsyncIterator[Any]:
            nonlocal looks
            async with pool.acquire() as connection:
                yield connection
            looks += 1

        waiting = asyncio.create_task(wait_until_current(counted, poll_seconds=0.01, directory=files))
        await eventually(lambda: looks >= 3)
        assert not waiting.done()
        waiting.cancel()


async def test_a_database_that_is_away_is_waited_for_too(empty_database: str, files: Path) -> None:
    await migrate(empty_database, directory=files)
    away = 2

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        nonlocal away
        away -= 1
        nowhere = "postgresql://dialer@/nothing?host=/nowhere"
        connection = await asyncpg.connect(nowhere if away >= 0 else empty_database)
        try:
            yield connection
        finally:
            await connection.close()

    with capture_logs() as logs:
        await asyncio.wait_for(wait_until_current(connect, poll_seconds=0.01, directory=files), 5)
    assert [log.get("seen") for log in logs] == ["FileNotFoundError", None]


@pytest.mark.parametrize("run_migrations", [False, True])
async def test_a_skip_lets_nobody_run_on_an_old_schema(
    empty_database: str, files: Path, onlooker: Any, run_migrations: bool
) -> None:
    assert await onlooker.fetchval(LOCK)
    async with asyncpg.create_pool(empty_database, min_size=0, max_size=1) as pool:
        with capture_logs() as logs:
            starting = asyncio.create_task(
                ensure_schema(
                    empty_database,
                    pool.acquire,
                    run_migrations=run_migrations,
                    lock_wait_seconds=0.1,
                    directory=files,
                )
            )
            await eventually(lambda: any(log["event"] == "SCHEMA_WAIT" for log in logs))
            assert not starting.done()
            await onlooker.execute("SELECT pg_advisory_unlock_all()")
            await migrate(empty_database, directory=files)
            reason = "lock busy" if run_migrations else "disabled"
            outcome = await asyncio.wait_for(starting, 5)
            assert isinstance(outcome, Skipped)
            assert outcome.reason == reason
    assert [log["reason"] for log in logs if log["event"] == "MIGRATION_SKIPPED"] == [reason]


async def test_the_process_that_migrates_goes_on_at_once(empty_database: str, files: Path) -> None:
    async with asyncpg.create_pool(empty_database, min_size=0, max_size=1) as pool:
        outcome = await ensure_schema(empty_database, pool.acquire, run_migrations=True, directory=files)
    assert outcome == Applied((1, 2))
