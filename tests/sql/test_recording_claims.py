"""Claims of recordings: the limit of a business over all daemons, fairness, leases, delays."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

from tests.support.recordings import (
    LEASE,
    LONG,
    add_recordings,
    announce,
    claim,
    complete,
    end_call,
    fail,
    recorded_call,
    release,
    renew,
    rows,
    sid,
)
from tests.support.runs import add_business

# -- claims ---------------------------------------------------------------------------------------------


async def test_a_claim_takes_the_lease_and_fixes_the_name(pool: Any) -> None:
    business = await add_business(pool)
    [call] = await add_recordings(pool, business, 1)
    worker = uuid4()
    [row] = await claim(pool, worker)
    assert (row["call_sid"], row["lease_epoch"], row["taken_over"], row["retry_count"]) == (call, 1, False, 0)
    assert row["file_name"] == f"{business}/{call[2:4]}/{call}.mp3"
    assert await claim(pool, uuid4()) == []
    [stored] = await rows(pool)
    assert (stored["status"], stored["locked_by_worker"]) == ("running", worker)


async def test_the_limit_of_a_business_holds_over_claims_that_meet(pool: Any) -> None:
    business = await add_business(pool)
    await add_recordings(pool, business, 20)
    for _ in range(5):
        claims = await asyncio.gather(*(claim(pool, uuid4(), count=2) for _ in range(8)))
        taken = [row for rows_ in claims for row in rows_]
        running = [r for r in await rows(pool) if r["status"] == "running"]
        assert len(taken) == len(running) <= 3
        assert len({row["recording_id"] for row in taken}) == len(taken)
        for row in taken:
            assert await complete(pool, row)


async def test_two_claims_of_one_business_do_not_overlap(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 5)
    async with pool.acquire() as one, one.transaction():
        assert len(await claim(one, uuid4())) == 3
        # The other neither waits nor counts without the three that it cannot see yet.
        assert await asyncio.wait_for(claim(pool, uuid4()), 5) == []
    assert await claim(pool, uuid4()) == []


async def test_many_of_one_business_do_not_hide_those_of_another(pool: Any) -> None:
    many, few = await add_business(pool), await add_business(pool)
    await add_recordings(pool, many, 50)
    await add_recordings(pool, few, 2)
    taken = await claim(pool, uuid4(), count=4, limit=50)
    assert Counter(row["business_id"] for row in taken) == {many: 2, few: 2}


async def test_places_go_first_to_whom_has_fewest(pool: Any) -> None:
    busy, idle = await add_business(pool), await add_business(pool)
    await add_recordings(pool, busy, 5)
    assert len(await claim(pool, uuid4(), count=2, limit=5)) == 2
    await add_recordings(pool, idle, 5)
    taken = await claim(pool, uuid4(), count=2, limit=5)
    assert Counter(row["business_id"] for row in taken) == {idle: 2}


async def test_a_delay_is_waited_for(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 1)
    [row] = await claim(pool, uuid4())
    assert await release(pool, row, delay=60.0)
    assert await claim(pool, uuid4()) == []
    await pool.execute("UPDATE recording_runs SET not_before = now()")
    [again] = await claim(pool, uuid4())
    assert (again["retry_count"], again["lease_epoch"]) == (1, 2)


async def test_a_call_without_callback_is_looked_up_after_a_while(pool: Any) -> None:
    attempt, call = await recorded_call(pool)
    await end_call(pool, attempt, call)
    assert await claim(pool, uuid4(), silent=30.0) == []
    [row] = await claim(pool, uuid4(), silent=0.0)
    assert (row["call_sid"], row["recording_sid"]) == (call, None)


async def test_a_callback_during_the_look_up_makes_it_due_at_once(pool: Any) -> None:
    attempt, call = await recorded_call(pool)
    await end_call(pool, attempt, call)
    [row] = await claim(pool, uuid4(), silent=0.0)
    recording = sid("RE")
    assert (await announce(pool, attempt, call, recording, "completed"))["result"] == "taken"
    assert await fail(pool, row) == []
    assert await release(pool, row, delay=60.0)
    [again] = await claim(pool, uuid4())
    assert again["recording_sid"] == recording


async def test_claims_walk_from_business_to_business_along_the_index(pool: Any) -> None:
    """However many wait: a claim reads about as many rows as there are businesses and places."""
    business = await add_business(pool)
    await add_recordings(pool, business, 1)
    await pool.execute(
        """INSERT INTO recording_runs (business_id, run_id, job_id, attempt_id, account_sid, call_sid, recording_sid)
           SELECT business_id, run_id, job_id, attempt_id, account_sid, 'CA' || n, 'RE' || n
           FROM recording_runs, generate_series(1, 20000) n"""
    )
    await pool.execute("ANALYZE recording_runs")
    async with pool.acquire() as connection, connection.transaction():
        before = await fetched(connection)
        assert len(await claim(connection, uuid4())) == 3
        assert await fetched(connection) - before < 500


async def fetched(connection: Any) -> int:
    """Rows of the table that this transaction has read, by whatever way."""
    count: int = await connection.fetchval(
        """SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
           WHERE relname = 'recording_runs'"""
    )
    return count


# -- leases ---------------------------------------------------------------------------------------------


async def test_a_lapsed_lease_is_taken_over_and_its_holder_writes_nothing_more(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 1)
    one, two = uuid4(), uuid4()
    [old] = await claim(pool, one)
    assert await claim(pool, two, lease=LONG) == []
    [new] = await claim(pool, two, lease=LEASE)
    assert (new["taken_over"], new["lease_epoch"], new["retry_count"]) == (True, 2, 1)
    assert await renew(pool, one, old) == []
    assert await complete(pool, old) == []
    assert await release(pool, old) == []
    assert await fail(pool, old) == []
    assert await renew(pool, two, new) == [new["recording_id"]]
    assert await complete(pool, new)


async def test_take_overs_keep_the_limit(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 6)
    assert len(await claim(pool, uuid4())) == 3
    taken = await claim(pool, uuid4(), lease=LEASE)
    assert [row["taken_over"] for row in taken] == [True] * 3
    assert sum(r["status"] == "running" for r in await rows(pool)) == 3


async def test_no_take_over_within_a_leases_length_of_a_start_of_postgres(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 1)
    await claim(pool, uuid4())
    await pool.execute("UPDATE recording_runs SET last_heartbeat_at = now() - interval '1 day'")
    longer_than_postgres_lives = 70_000.0
    assert await claim(pool, uuid4(), lease=longer_than_postgres_lives) == []
    assert len(await claim(pool, uuid4(), lease=LEASE)) == 1


async def test_completing_twice_is_completing_once(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 1)
    [row] = await claim(pool, uuid4())
    assert await complete(pool, row)
    [first] = await rows(pool)
    assert await complete(pool, row)
    assert await rows(pool) == [first]
    assert await complete(pool, row, sha="b" * 64) == []
    assert await release(pool, row) == []
