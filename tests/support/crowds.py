"""Databases as they are after years: runs with so many jobs, made by SQL."""

from __future__ import annotations

from typing import Any

from tests.support.runs import FROM, TWIML, Worker

MOST_SLOTS = 10_000


async def add_business(db: Any) -> int:
    """One that may have as many calls as any."""
    business: int = await db.fetchval(
        "INSERT INTO businesses (name, max_concurrent_calls) VALUES ('crowd', $1) RETURNING id", MOST_SLOTS
    )
    return business


async def add_runs(db: Any, business: int, count: int) -> list[int]:
    """Pending runs without any job."""
    rows = await db.fetch(
        """INSERT INTO outbound_call_runs (business_id, concurrency)
           SELECT $1, $2 FROM generate_series(1, $3::integer) RETURNING id""",
        business,
        MOST_SLOTS,
        count,
    )
    runs = [row["id"] for row in rows]
    await db.execute(
        """INSERT INTO outbound_call_run_settings
               (run_id, business_id, from_number, twiml, ring_timeout_seconds, call_time_limit_seconds)
           SELECT unnest($1::bigint[]), $2, $3, $4, 30, 600""",
        runs,
        business,
        FROM,
        TWIML,
    )
    await db.execute(
        "INSERT INTO outbound_call_run_counters (run_id, business_id) SELECT unnest($1::bigint[]), $2",
        runs,
        business,
    )
    return runs


async def add_jobs(
    db: Any, business: int, run: int, count: int, *, finished: bool = False, first: int = 0
) -> None:
    """Jobs at positions `first`…: queued, or answered long ago."""
    ended = "now()" if finished else "NULL"
    status, disposition = ("'completed'", "'answered'") if finished else ("'queued'", "NULL")
    await db.execute(
        f"""INSERT INTO outbound_call_jobs
                (run_id, business_id, position, phone, lead_id, status, disposition, ended_at)
            SELECT $1, $2, n, '+1' || (2120000000 + n), 'lead-' || n, {status}, {disposition}, {ended}
            FROM generate_series($3::integer, $3 + $4::integer - 1) AS n""",
        run,
        business,
        first,
        count,
        timeout=600,
    )


async def claimed_by(worker: Worker, runs: int) -> None:
    """The worker takes them all."""
    while len(worker.epochs) < runs:
        assert await worker.claim(), "nothing to claim"
