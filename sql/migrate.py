"""Brings the schema up to date: numbered files, each applied once, however many processes try.

    python -m sql.migrate            apply what is missing
    python -m sql.migrate --check    exit 0 when the schema is current, 1 when it is behind

One connection is held throughout, since the advisory lock that keeps others out belongs to its session.
Each file and its row in `schema_migrations` are one transaction: a crash leaves whole steps only.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg
import structlog

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = "SELECT pg_try_advisory_lock(hashtextextended('dialer:migrations', 0))"
LOOK_AGAIN_SECONDS = 0.1
CONNECT_WITHIN_SECONDS = 10.0

_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>\w+)\.sql")
_CREATES_TABLE = re.compile(r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE | re.IGNORECASE)
_OWN_COLUMNS = {"version", "name", "checksum", "applied_at"}
_OWN_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL
)
"""


@dataclass(frozen=True)
class Applied:
    """The schema is current; these versions, perhaps none, were applied now."""

    versions: tuple[int, ...]


@dataclass(frozen=True)
class Skipped:
    """Nothing was done, and that is no failure: somebody else migrates, or this process is not to.

    The schema may be behind: wait with `wait_until_current` before using it.
    """

    reason: Literal["lock busy", "disabled"]


class MigrationRefused(Exception):
    """This database and these files do not belong together; nothing was changed. A person must look."""


class MigrationFailed(Exception):
    """A file could not be applied; it was rolled back, the ones before it stand. Mend it and try again."""


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    text: str
    checksum: str  # SHA-256 of the text


async def migrate(
    dsn: str,
    *,
    lock_wait_seconds: float = 30.0,
    statement_timeout: str = "120s",
    directory: Path = MIGRATIONS,
) -> Applied | Skipped:
    """Apply every file that is missing, in order.

    `dsn` must lead to PostgreSQL itself, not through a pooler in transaction mode. When others hold the lock
    for longer than `lock_wait_seconds` the outcome is Skipped. `statement_timeout` (an interval such as
    `120s`) bounds each statement of the files.
    Raises MigrationRefused, MigrationFailed, and asyncpg's errors and OSError when the database is away.
    """
    migrations = read_migrations(directory)
    connection = await asyncpg.connect(dsn, timeout=CONNECT_WITHIN_SECONDS)
    try:
        await connection.execute("SELECT set_config('statement_timeout', $1, false)", statement_timeout)
        if not await _lock(connection, lock_wait_seconds):
            structlog.get_logger().warning(
                "MIGRATION_SKIPPED", reason="lock busy", waited_seconds=lock_wait_seconds
            )
            return Skipped("lock busy")
        pending = await _pending(connection, migrations)
        for migration in pending:
            await _apply(connection, migration)
        return Applied(tuple(migration.version for migration in pending))
    finally:
        await connection.close()  # which also gives the lock back


async def ensure_schema(
    dsn: str,
    connect: Callable[[], AbstractAsyncContextManager[Any]],
    *,
    run_migrations: bool,
    lock_wait_seconds: float = 30.0,
    statement_timeout: str = "120s",
    directory: Path = MIGRATIONS,
) -> Applied | Skipped:
    """What a process does at its start: migrate if it is the one to, and wait until the schema is current.

    Returns only when it is, however the migration came out: a skip lets nobody run on an old schema.
    `dsn` is for migrating (see `migrate`, whose errors it raises), `connect` for looking.
    """
    outcome: Applied | Skipped = Skipped("disabled")
    if run_migrations:
        outcome = await migrate(
            dsn, lock_wait_seconds=lock_wait_seconds, statement_timeout=statement_timeout, directory=directory
        )
    else:
        structlog.get_logger().info("MIGRATION_SKIPPED", reason="disabled")
    await wait_until_current(connect, directory=directory)
    return outcome


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """The files in order. Raises ValueError when a name is wrong or a number missing or taken twice."""
    migrations = []
    for path in sorted(directory.glob("*.sql")):
        matched = _FILE_NAME.fullmatch(path.name)
        if matched is None:
            raise ValueError(f"{path.name} is not called NNNN_name.sql")
        text = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        migrations.append(Migration(int(matched["version"]), matched["name"], text, checksum))
    numbers = [migration.version for migration in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"the migrations must be numbered from 0001 without a gap, but are {numbers}")
    return migrations


def required_version(directory: Path = MIGRATIONS) -> int:
    """The version of the schema that this program needs: the highest number of its files."""
    return len(read_migrations(directory))


async def current_version(connection: Any) -> int:
    """The version of the schema of the database; 0 when it was never migrated (by us)."""
    if await _own_table(connection) != "ours":
        return 0
    version: int = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_migrations")
    return version


async def is_current(connection: Any, directory: Path = MIGRATIONS) -> bool:
    """Whether the schema is at least the one this program needs; a newer one is."""
    return await current_version(connection) >= required_version(directory)


async def wait_until_current(
    connect: Callable[[], AbstractAsyncContextManager[Any]],
    *,
    poll_seconds: float = 1.0,
    directory: Path = MIGRATIONS,
    log: Any = None,
) -> None:
    """Wait, for ever if need be, until somebody has migrated the schema as far as this program needs.

    `connect` gives a connection for one look, as `pool.acquire` does. A database that is away is waited
    for as well. Says so in the log when it begins to wait and whenever what it sees changes.
    """
    required = required_version(directory)
    log = log or structlog.get_logger()
    last_seen: int | str | None = None
    while True:
        seen = await _look(connect)
        if isinstance(seen, int) and seen >= required:
            if last_seen is not None:
                log.info("SCHEMA_CURRENT", version=seen, required=required)
            return
        if seen != last_seen:
            log.warning("SCHEMA_WAIT", seen=seen, required=required)
            last_seen = seen
        await asyncio.sleep(poll_seconds)


async def _look(connect: Callable[[], AbstractAsyncContextManager[Any]]) -> int | str:
    """The version that is there, or the kind of error that keeps us from seeing it."""
    try:
        async with connect() as connection:
            return await current_version(connection)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        return type(error).__name__


async def _lock(connection: Any, wait_seconds: float) -> bool:
    """Try for the lock until the time is over. An error is no busy lock: it is raised."""
    deadline = time.monotonic() + wait_seconds
    while not await connection.fetchval(LOCK):
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return True


async def _pending(connection: Any, migrations: list[Migration]) -> list[Migration]:
    """The files not yet applied. Raises MigrationRefused unless those applied are the first of ours."""
    own_table = await _own_table(connection)
    if own_table == "foreign":
        raise MigrationRefused(
            "the table schema_migrations of this database is another program's: use a database of its own"
        )
    rows = (
        await connection.fetch("SELECT version, name, checksum FROM schema_migrations")
        if own_table == "ours"
        else []
    )
    if not rows:
        await _refuse_foreign_tables(connection, migrations)
    applied = {row["version"]: row for row in rows}
    if set(applied) != set(range(1, len(applied) + 1)):
        raise MigrationRefused(
            f"schema_migrations has gaps: {sorted(applied)}; the rows before the last must all be there"
        )
    for migration in migrations[: len(applied)]:
        row = applied[migration.version]
        if row["checksum"] != migration.checksum:
            raise MigrationRefused(
                f"migration {migration.version:04} was applied as {row['name']} with another text than "
                f"{migration.version:04}_{migration.name}.sql has now: restore the file and write a new one"
            )
    return migrations[len(applied) :]


async def _refuse_foreign_tables(connection: Any, migrations: list[Migration]) -> None:
    ours = [table for migration in migrations for table in _CREATES_TABLE.findall(migration.text)]
    found = await connection.fetch(
        "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(quote_ident(name)) IS NOT NULL",
        ours,
    )
    if found:
        names = ", ".join(row["name"] for row in found)
        raise MigrationRefused(
            f"this database already has tables that these migrations did not make: {names}; "
            "nothing was changed. Use a database of its own"
        )


async def _own_table(connection: Any) -> Literal["absent", "ours", "foreign"]:
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = to_regclass('schema_migrations') AND attnum > 0 AND NOT attisdropped"
    )
    if not rows:
        return "absent"
    return "ours" if {row["attname"] for row in rows} >= _OWN_COLUMNS else "foreign"


async def _apply(connection: Any, migration: Migration) -> None:
    started = time.monotonic()
    try:
        async with connection.transaction():
            await connection.execute(_OWN_TABLE)
            await connection.execute(migration.text)
            duration_ms = round((time.monotonic() - started) * 1000)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, checksum, duration_ms) VALUES ($1, $2, $3, $4)",
                *(migration.version, migration.name, migration.checksum, duration_ms),
            )
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"{migration.version:04}_{migration.name}.sql: {error}") from error
    structlog.get_logger().info(
        "MIGRATION_APPLIED", version=migration.version, name=migration.name, duration_ms=duration_ms
    )


if __name__ == "__main__":
    from sql.command import main

    sys.exit(main())
