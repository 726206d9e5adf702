"""A job belongs to a run that is there, whoever inserts or deletes, in whatever order; without a foreign key."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.support.runs import add_business, add_run, assert_counters_match
from tests.support.waiting import eventually

ADD_JOBS = """
INSERT INTO outbound_call_jobs (run_id, business_id, position, phone)
SELECT $1, $2, 100 + n, '+12125550100' FROM generate_series(1, 3) AS n
"""
SOMEBODY_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


async def test_jobs_of_a_run_that_is_not_there_are_refused(pool: Any) -> None:
    business = await add_business(pool)
    run = (await add_run(pool, business, 1)).run_id
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await pool.execute(ADD_JOBS, run + 1, business)
    records = [(run, business, 101, "+12125550100"), (run + 1, business, 101, "+12125550100")]
    columns = ("run_id", "business_id", "position", "phone")
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await connection.copy_records_to_table("outbound_call_jobs", records=records, columns=columns)
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_jobs") == 1
    await assert_counters_match(pool, run)


async def test_a_run_with_jobs_is_neither_deleted_nor_given_another_id(pool: Any) -> None:
    run = (await add_run(pool, await add_business(pool), 1)).run_id
    for statement in ("DELETE FROM outbound_call_runs", "UPDATE outbound_call_runs SET id = id + 1"):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await pool.execute(statement)
    await pool.execute("DELETE FROM outbound_call_jobs WHERE run_id = $1", run)
    assert await pool.execute("DELETE FROM outbound_call_runs") == "DELETE 1"


async def test_a_job_stays_in_its_run(pool: Any) -> None:
    business = await add_business(pool)
    one, other = [(await add_run(pool, business, n)).run_id for n in (1, 0)]
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE outbound_call_jobs SET run_id = $1", other)
    assert await pool.fetchval("SELECT run_id FROM outbound_call_jobs") == one


async def test_who_deletes_a_run_waits_for_an_import_and_finds_its_jobs(pool: Any) -> None:
    business = await add_business(pool)
    run = (await add_run(pool, business, 0)).run_id
    async with pool.acquire() as importing:
        transaction = importing.transaction()
        await transaction.start()
        await importing.execute(ADD_JOBS, run, business)
        deleting = asyncio.create_task(pool.execute("DELETE FROM outbound_call_runs WHERE id = $1", run))
        await eventually(lambda: pool.fetchval(SOMEBODY_WAITS))
        await transaction.commit()
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await deleting
    await assert_counters_match(pool, run)


async def test_who_imports_into_a_run_that_is_being_deleted_waits_and_is_refused(pool: Any) -> None:
    business = await add_business(pool)
    run = (await add_run(pool, business, 0)).run_id
    async with pool.acquire() as deleting:
        transaction = deleting.transaction()
        await transaction.start()
        await deleting.execute("DELETE FROM outbound_call_runs WHERE id = $1", run)
        importing = asyncio.create_task(pool.execute(ADD_JOBS, run, business))
        await eventually(lambda: pool.fetchval(SOMEBODY_WAITS))
        await transaction.commit()
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await importing
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_jobs") == 0
