"""Migrations: each file once and whole, whoever else tries; never on a database that is not ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from sql.migrate import (
    LOCK,
    Applied,
    MigrationFailed,
    MigrationRefused,
    Skipped,
    current_version,
    is_current,
    migrate,
    read_migrations,
    required_version,
)
from tests.support.waiting import eventually


async def tables(connection: Any) -> set[str]:
    rows = await connection.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    return {row["relname"] for row in rows}


async def test_files_are_applied_in_order_and_once(empty_database: str, files: Path, onlooker: Any) -> None:
    with capture_logs() as logs:
        assert await migrate(empty_database, directory=files) == Applied((1, 2))
        assert await migrate(empty_database, directory=files) == Applied(())
    assert [(log["event"], log["version"], log["name"]) for log in logs] == [
        ("MIGRATION_APPLIED", 1, "pens"),
        ("MIGRATION_APPLIED", 2, "inks"),
    ]
    assert await onlooker.fetchval("SELECT count(*) FROM pens") == 1
    rows = await onlooker.fetch(
        "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version"
    )
    expected = [(m.version, m.name, m.checksum) for m in read_migrations(files)]
    assert [(row["version"], row["name"], row["checksum"]) for row in rows] == expected
    assert await onlooker.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_new_file_is_applied_alone(empty_database: str, files: Path, onlooker: Any) -> None:
    await migrate(empty_database, directory=files)
    (files / "0003_nibs.sql").write_text("CREATE TABLE nibs (id int);")
    assert await is_current(onlooker, files) is False
    assert await migrate(empty_database, directory=files) == Applied((3,))
    assert await is_current(onlooker, files) is True


async def test_three_at_once_apply_each_file_once(empty_database: str, files: Path, onlooker: Any) -> None:
    outcomes = await asyncio.gather(*(migrate(empty_database, directory=files) for _ in range(3)))
    assert sorted(outcomes, key=str) == [Applied(()), Applied(()), Applied((1, 2))]
    assert await onlooker.fetchval("SELECT count(*) FROM pens") == 1


async def test_a_busy_lock_is_a_skip_that_changes_nothing(empty_database: str, files: Path, onlooker: Any) -> None:
    assert await onlooker.fetchval(LOCK)
    with capture_logs() as logs:
        outcome = await migrate(empty_database, directory=files, lock_wait_seconds=0.25)
    assert outcome == Skipped("lock busy")
    assert [(log["event"], log["reason"]) for log in logs] == [("MIGRATION_SKIPPED", "lock busy")]
    assert await tables(onlooker) == set()


async def test_a_lock_that_comes_free_in_time_is_taken(empty_database: str, files: Path, onlooker: Any) -> None:
    assert await onlooker.fetchval(LOCK)
    waiting = asyncio.create_task(migrate(empty_database, directory=files, lock_wait_seconds=20))
    await eventually(lambda: migrator_pid(onlooker))
    assert not waiting.done()
    await onlooker.execute("SELECT pg_advisory_unlock_all()")
    assert await waiting == Applied((1, 2))


async def test_an_error_while_locking_is_no_skip(empty_database: str, files: Path, onlooker: Any) -> None:
    assert await onlooker.fetchval(LOCK)
    waiting = asyncio.create_task(migrate(empty_database, directory=files, lock_wait_seconds=20))
    pid = await eventually(lambda: migrator_pid(onlooker))
    await onlooker.execute("SELECT pg_terminate_backend($1::int)", pid)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await waiting


async def migrator_pid(connection: Any) -> Any:
    return await connection.fetchval(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%dialer:migrations%'"
    )


async def test_a_file_changed_after_it_was_applied_is_an_error(
    empty_database: str, files: Path, onlooker: Any
) -> None:
    await migrate(empty_database, directory=files)
    (files / "0001_pens.sql").write_text("CREATE TABLE pens (id bigint);")
    (files / "0003_nibs.sql").write_text("CREATE TABLE nibs (id int);")
    with pytest.raises(MigrationRefused, match=r"0001 .*0001_pens\.sql"):
        await migrate(empty_database, directory=files)
    assert "nibs" not in await tables(onlooker)


async def test_a_schema_newer_than_the_files_is_fine(empty_database: str, files: Path, onlooker: Any) -> None:
    await migrate(empty_database, directory=files)
    (files / "0002_inks.sql").unlink()
    assert await migrate(empty_database, directory=files) == Applied(())
    assert await current_version(onlooker) == 2
    assert await is_current(onlooker, files) is True


@pytest.mark.parametrize("foreign", ["CREATE TABLE inks (colour text)", "CREATE VIEW inks AS SELECT 1 AS colour"])
async def test_foreign_tables_of_our_names_are_refused(
    empty_database: str, files: Path, onlooker: Any, foreign: str
) -> None:
    await onlooker.execute(foreign)
    with pytest.raises(MigrationRefused, match="did not make: inks; nothing was changed"):
        await migrate(empty_database, directory=files)
    assert await tables(onlooker) == {"inks"}


async def test_another_program_s_schema_migrations_is_refused(
    empty_database: str, files: Path, onlooker: Any
) -> None:
    await onlooker.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    assert await current_version(onlooker) == 0
    with pytest.raises(MigrationRefused, match=r"schema_migrations .*another program's"):
        await migrate(empty_database, directory=files)
    assert await tables(onlooker) == {"schema_migrations", "schema_migrations_pkey"}


async def test_other_tables_beside_ours_are_none_of_our_business(
    empty_database: str, files: Path, onlooker: Any
) -> None:
    await onlooker.execute("CREATE TABLE erasers (id int)")
    assert await migrate(empty_database, directory=files) == Applied((1, 2))


async def test_a_file_that_fails_is_rolled_back_whole(empty_database: str, files: Path, onlooker: Any) -> None:
    (files / "0002_inks.sql").write_text("CREATE TABLE inks (id int);\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationFailed, match=r"0002_inks\.sql: division by zero"):
        await migrate(empty_database, directory=files)
    assert await current_version(onlooker) == 1
    assert "inks" not in await tables(onlooker)


async def test_a_statement_has_only_so_much_time(empty_database: str, files: Path) -> None:
    (files / "0003_slow.sql").write_text("SELECT pg_sleep(30);")
    with pytest.raises(MigrationFailed, match=r"0003_slow.*statement timeout"):
        await migrate(empty_database, directory=files, statement_timeout="50ms")


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["0001_a.sql", "0003_b.sql"], "without a gap"),
        (["0002_a.sql"], "without a gap"),
        (["0001_a.sql", "0001_b.sql"], "without a gap"),
        (["1_a.sql"], "is not called NNNN_name.sql"),
    ],
)
def test_files_wrongly_numbered_are_refused(tmp_path: Path, names: list[str], fault: str) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match=fault):
        read_migrations(tmp_path)


async def test_the_real_files_apply_and_foreign_runs_are_refused(empty_database: str, onlooker: Any) -> None:
    await onlooker.execute("CREATE TABLE outbound_call_runs (id serial PRIMARY KEY, status text)")
    before = await tables(onlooker)
    with pytest.raises(MigrationRefused, match="outbound_call_runs"):
        await migrate(empty_database)
    assert await tables(onlooker) == before

    await onlooker.execute("DROP TABLE outbound_call_runs")
    assert await migrate(empty_database) == Applied(tuple(range(1, required_version() + 1)))
    assert await current_version(onlooker) == required_version() > 0
