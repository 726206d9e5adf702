"""What /metrics reads of Postgres when it is asked, and what that costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import sql
from tests.control.house import House
from tests.control.scraping import scrape
from tests.support.recordings import add_recordings
from tests.support.runs import Worker, add_business, add_run


async def test_how_it_stands_is_read_from_the_rows(house: House) -> None:
    business, other = await add_business(house.pool, limit=5), await add_business(house.pool, limit=2)
    run = await add_run(house.pool, business, 4)
    waiting = await add_run(house.pool, other, 3)
    worker = await Worker.join(house.pool)
    await worker.claim()
    await worker.intend(run.run_id, [1, 2])
    await house.pool.execute("UPDATE outbound_call_attempts SET state = 'unknown' WHERE slot = 2")
    await house.pool.execute(
        """UPDATE outbound_call_runs SET created_at = now() - interval '1 day',
                  last_heartbeat_at = now() - interval '2 minutes' WHERE id = $1""",
        waiting.run_id,
    )
    # It rings for 30 s and lasts for 600 at most, and the carrier's list may be 60 s behind.
    await house.pool.execute(
        "UPDATE outbound_call_attempts SET created_at = now() - make_interval(secs => 680 + 5 * slot)"
    )
    await house.pool.execute("UPDATE dialer_daemons SET redis_degraded = true")
    await add_run(house.pool, other, 1)
    figures = await scrape(house)
    assert figures.by("state", "dialer_live_calls") == {"intent": 1, "unknown": 1}
    assert figures.values("dialer_call_limit") == [7]
    assert figures.by("status", "dialer_open_runs") == {"running": 2, "pending": 1}
    assert figures.values("dialer_queued_jobs") == [2 + 3 + 1]
    assert figures.values("dialer_stale_runs") == figures.values("dialer_runs_without_heartbeat") == [1]
    assert 120 <= figures.total("dialer_oldest_heartbeat_seconds") < 180
    assert figures.values("dialer_idle_runs") == [2]
    assert figures.values("dialer_overdue_calls") == [1]
    assert 86_400 <= figures.total("dialer_oldest_waiting_job_seconds") < 86_460
    assert figures.values("dialer_redis_degraded") == [1]
    assert figures.values("dialer_schema_version") == [
        await house.pool.fetchval("SELECT max(version) FROM schema_migrations")
    ]


async def test_a_run_is_without_a_heartbeat_before_it_is_stale(house: House) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 1)
    await (await Worker.join(house.pool)).claim()
    quiet = await scrape(house)
    assert quiet.values("dialer_runs_without_heartbeat") == quiet.values("dialer_stale_runs") == [0]
    await house.pool.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '10 seconds' WHERE id = $1", run.run_id
    )
    silent = await scrape(house)
    assert silent.values("dialer_runs_without_heartbeat") == [1]
    assert silent.values("dialer_stale_runs") == [0]


async def test_recordings_that_wait_are_counted_as_far_as_it_is_cheap(house: House) -> None:
    none = await scrape(house)
    for name in ("dialer_waiting_recordings", "dialer_oldest_waiting_recording_seconds"):
        assert none.values(name) == [0]
    await add_recordings(house.pool, await add_business(house.pool), 3)
    await house.pool.execute(
        """UPDATE recording_runs SET created_at = now() - interval '3 hours'
           WHERE id = (SELECT min(id) FROM recording_runs)"""
    )
    some = await scrape(house)
    assert some.values("dialer_waiting_recordings") == [3]
    assert 3 * 3600 <= some.total("dialer_oldest_waiting_recording_seconds") < 3 * 3600 + 60
    await many_recordings(house.pool, 10_050, "queued")
    assert (await scrape(house)).values("dialer_waiting_recordings") == [10_000]


@pytest.mark.parametrize("name", ["gauges", "health_figures", "daemons_alive"])
async def test_neither_many_jobs_nor_many_runs_that_ended_make_it_slow(pool: Any, name: str) -> None:
    """Not a time is asserted, but that what has ended, and jobs, are never read."""
    await many_ended_runs(pool, 20_000)
    if name == "gauges":
        await add_recordings(pool, await add_business(pool), 1)
        await many_recordings(pool, 20_000, "cancelled")
    arguments = {"gauges": (30.0, 6.0, 60.0), "health_figures": (None, 30.0), "daemons_alive": (6.0, None)}[name]
    plan = json.loads(
        await pool.fetchval("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql.query(name), *arguments)
    )
    assert "outbound_call_jobs" not in json.dumps(plan)
    assert plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"] < 100


async def many_recordings(pool: Any, count: int, status: str) -> None:
    """As many more of the call of the one that is there."""
    await pool.execute(
        """INSERT INTO recording_runs (business_id, run_id, job_id, attempt_id, account_sid, call_sid, status)
           SELECT business_id, run_id, job_id, attempt_id, account_sid, 'CA' || n, $2
           FROM generate_series(1, $1) AS n, (SELECT * FROM recording_runs LIMIT 1) AS r""",
        count,
        status,
    )
    await pool.execute("ANALYZE recording_runs")


async def many_ended_runs(pool: Any, count: int) -> None:
    business = await add_business(pool)
    await pool.execute(
        """WITH run AS (
               INSERT INTO outbound_call_runs (business_id, concurrency, status, ended_at)
               SELECT $1, 1, 'completed', now() FROM generate_series(1, $2) RETURNING id
           )
           INSERT INTO outbound_call_run_counters (run_id, business_id, completed) SELECT id, $1, 1 FROM run""",
        business,
        count,
    )
    run = await add_run(pool, business, 3)
    worker = await Worker.join(pool)
    await worker.claim()
    await worker.intend(run.run_id, [1])
    await pool.execute("ANALYZE")
