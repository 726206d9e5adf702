"""Moves a business, with all that was ever done for it, from one database to another.

    DATABASE_URL=postgresql://… TARGET_DATABASE_URL=postgresql://… python -m sql.move BUSINESS_ID

Both are direct, of one schema version, and their user may set `session_replication_role`. Nothing of the business
may be under way: its runs paused or ended, its calls over. It is committed in the target first, and only then removed
from the source: should this process die between the two, both have it, and neither dials a paused run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sql.migrate import CONNECT_WITHIN_SECONDS, current_version

DONE, FAILED, BAD_USAGE = 0, 1, 2

# Every table of a business names it; the business itself comes first, and goes last.
_TABLES = """
SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = current_schema AND c.column_name = 'business_id' AND t.table_type = 'BASE TABLE' ORDER BY 1
"""
_COLUMNS = """
SELECT column_name, is_identity = 'YES' AS numbers_itself FROM information_schema.columns
WHERE table_schema = current_schema AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position
"""
_UNDER_WAY = """
SELECT (SELECT count(*) FROM outbound_call_runs WHERE business_id = $1 AND status IN ('pending', 'running')) AS runs,
       (SELECT count(*) FROM outbound_call_attempts WHERE business_id = $1 AND ended_at IS NULL) AS calls,
       (SELECT count(*) FROM outbound_call_runs WHERE business_id = $1 AND sweep_to IS NOT NULL AND swept_at IS NULL)
           AS sweeps
"""


class MoveRefused(Exception):
    """Nothing was changed; the message says what is in the way."""


async def move(source_dsn: str, target_dsn: str, business_id: int) -> dict[str, int]:
    """Move it; returns table -> rows. Raises MoveRefused, and asyncpg's errors and OSError."""
    async with _transaction(source_dsn) as source, _connected(target_dsn) as target:
        await _refuse_what_does_not_fit(source, target, business_id)
        tables = [row["table_name"] for row in await source.fetch(_TABLES)]
        moved = {}
        try:
            async with target.transaction():
                await target.execute("SET LOCAL session_replication_role = replica")
                for table in ("businesses", *tables):
                    moved[table] = await _copy(source, target, table, business_id)
        except asyncpg.UniqueViolationError as error:
            raise MoveRefused(f"the target has such rows already: {error}") from error
        for table in (*tables, "businesses"):
            gone = f'DELETE FROM "{table}" WHERE {_of_business(table)}'  # noqa: S608 - names of the catalogue
            await source.execute(gone, business_id)
        return moved


async def _refuse_what_does_not_fit(source: Any, target: Any, business_id: int) -> None:
    if await current_version(source) != await current_version(target):
        raise MoveRefused("the two databases have not the same schema: migrate both")
    installations = [await one.fetchval("SELECT id FROM installation") for one in (source, target)]
    if installations[0] == installations[1]:
        raise MoveRefused("the two databases are one, or one is a copy of the other")
    # Intents and starts wait for this lock, and then find no business.
    if await source.fetchval("SELECT 1 FROM businesses WHERE id = $1 FOR UPDATE", business_id) is None:
        raise MoveRefused(f"there is no business {business_id}")
    under_way = {what: count for what, count in (await source.fetchrow(_UNDER_WAY, business_id)).items() if count}
    if under_way:
        told = ", ".join(f"{count} {what}" for what, count in under_way.items())
        raise MoveRefused(f"something of it is still under way ({told}): pause its runs and wait for its calls")


async def _copy(source: Any, target: Any, table: str, business_id: int) -> int:
    found = await source.fetch(_COLUMNS, table)
    columns = [row["column_name"] for row in found]
    listed = ", ".join(f'"{column}"' for column in columns)
    query = f'SELECT {listed} FROM "{table}" WHERE {_of_business(table)}'  # noqa: S608 - names of the catalogue
    with tempfile.TemporaryFile() as rows:
        await source.copy_from_query(query, business_id, output=rows, format="binary")
        rows.seek(0)
        copied: str = await target.copy_to_table(table, source=rows, columns=columns, format="binary")
    if any(row["numbers_itself"] for row in found):
        await target.fetchval(_numbers_go_on(table))
    return int(copied.split()[-1])


def _of_business(table: str) -> str:
    return "id = $1" if table == "businesses" else "business_id = $1"


def _numbers_go_on(table: str) -> str:
    """New rows of the target never get the number of one that was moved in."""
    sequence = f"pg_get_serial_sequence('{table}', 'id')"
    return f'SELECT setval({sequence}, greatest(nextval({sequence}), (SELECT max(id) FROM "{table}")))'  # noqa: S608


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_WITHIN_SECONDS)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _transaction(dsn: str) -> AsyncIterator[Any]:
    async with _connected(dsn) as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        yield connection


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sql.move", description="Move a business to another database.")
    parser.add_argument("business_id", type=int)
    wanted = parser.parse_args(arguments)
    source, target = os.environ.get("DATABASE_URL"), os.environ.get("TARGET_DATABASE_URL")
    if not source or not target:
        print("DATABASE_URL and TARGET_DATABASE_URL must be set", file=sys.stderr)
        return BAD_USAGE
    try:
        moved = asyncio.run(move(source, target, wanted.business_id))
    except (MoveRefused, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    for table, rows in moved.items():
        print(f"{table}: {rows}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
