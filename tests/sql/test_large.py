"""Reads beside lists of hundreds of thousands: they touch as many pages of memory as beside ten.

Not how long a read takes is looked at, which is the machine's, but how much of the tables it goes through: by
EXPLAIN (ANALYZE, BUFFERS) of the statements that control sends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sql
from tests.support.runs import Worker, add_business, add_run

JOBS = 60_000
OLD_RUNS = 5_000
# For each row that is shown: its run's three rows or its own two, each found in an index of three levels. Whoever
# went through a list would read a thousand pages, through the runs a hundred.
MOST_FOR_A_ROW = 10
MOST_BESIDES = 30
STATUSES = ("queued", "dialing", "calling", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class Crowd:
    """`queued` waits but for two calls, `finished` is answered but for a few, `swept` is stopped and half swept."""

    business: int
    queued: int
    finished: int
    swept: int

    @property
    def runs(self) -> tuple[int, ...]:
        return self.queued, self.finished, self.swept


async def make_crowd(db: Any, jobs: int) -> Crowd:
    """Three runs of so many jobs, and old ones.

    Of these one has as many failed jobs, and a business thousands of failed runs: that a status is common says
    nothing of a run, or of a business.
    """
    business = await add_business(db, limit=50)
    await _old_runs(db, business, "completed")
    await _old_runs(db, await add_business(db), "failed")
    crowd = Crowd(business, *[(await add_run(db, business, 0)).run_id for _ in range(3)])
    other = await add_run(db, business, 0)
    worker = await Worker.join(db)
    while crowd.queued not in worker.epochs:
        await worker.claim()
    # Without the trigger that counts and the foreign keys: ten times as fast.
    await db.execute("ALTER TABLE outbound_call_jobs DISABLE TRIGGER ALL")
    await _jobs(db, crowd.queued, business, jobs, "queued", None)
    await _jobs(db, crowd.finished, business, jobs, "completed", "answered")
    await _jobs(db, crowd.swept, business, jobs, "queued", None)
    await _jobs(db, other.run_id, business, jobs, "failed", "no_answer")
    await db.execute(
        """UPDATE outbound_call_jobs SET status = 'failed', disposition = 'busy'
           WHERE run_id = $1 AND position % ($2::integer / 3) = 1""",
        *(crowd.finished, jobs),
    )
    await db.execute(
        """UPDATE outbound_call_jobs SET status = 'cancelled', disposition = 'not_dialed', ended_at = now()
           WHERE run_id = $1 AND position < 1000""",
        crowd.swept,
    )
    await db.execute("ALTER TABLE outbound_call_jobs ENABLE TRIGGER ALL")
    await db.execute("UPDATE outbound_call_run_counters SET queued = $2 WHERE run_id = ANY ($1)", crowd.runs, jobs)
    await worker.intend(crowd.queued, [1, 2], after=jobs // 2)
    await db.execute("UPDATE outbound_call_runs SET status = 'completed' WHERE id = $1", crowd.finished)
    await db.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", crowd.swept)
    await db.execute(
        """INSERT INTO audit_log (business_id, run_id, actor, action)
           SELECT business_id, id, 'operator', 'stop' FROM outbound_call_runs WHERE id <> ALL ($1)
           UNION ALL SELECT $2, $3, 'operator', 'stop'""",
        *(crowd.runs, business, crowd.swept),
    )
    await db.execute("ANALYZE audit_log")
    await db.execute("VACUUM ANALYZE outbound_call_jobs")
    await db.execute("VACUUM ANALYZE outbound_call_runs")
    return crowd


async def _old_runs(db: Any, business: int, status: str) -> None:
    await db.execute(
        """WITH runs AS (
               INSERT INTO outbound_call_runs (business_id, concurrency, status, ended_at)
               SELECT $1, 1, $3, now() FROM generate_series(1, $2::integer) RETURNING id
           ), settings AS (
               INSERT INTO outbound_call_run_settings
                   (run_id, business_id, from_number, twiml, ring_timeout_seconds, call_time_limit_seconds)
               SELECT id, $1, '+15005550006', '<Response/>', 30, 600 FROM runs
           )
           INSERT INTO outbound_call_run_counters (run_id, business_id) SELECT id, $1 FROM runs""",
        *(business, OLD_RUNS, status),
    )


async def _jobs(db: Any, run: int, business: int, count: int, status: str, disposition: str | None) -> None:
    await db.execute(
        """INSERT INTO outbound_call_jobs (run_id, business_id, position, phone, status, disposition, ended_at)
           SELECT $1, $2, n, '+1' || (2000000000 + n), $3, $4, CASE WHEN $4::text IS NOT NULL THEN now() END
           FROM generate_series(0, $5::integer - 1) AS n""",
        *(run, business, status, disposition, count),
    )


async def _reads_too_much(db: Any, name: str, *arguments: object) -> int:
    """How many pages of memory a statement goes through beyond what its rows need, or 0.

    At the eighth time, as in life: by then Postgres may have decided for a plan that is for any values.
    """
    values = ", ".join("NULL" if a is None else f"'{a}'" if isinstance(a, str) else str(a) for a in arguments)
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({values})"
    async with db.acquire() as connection:
        await connection.execute(f"PREPARE asked AS {sql.query(name)}")
        try:
            plan = [json.loads(await connection.fetchval(explain))[0]["Plan"] for _ in range(8)][-1]
        finally:
            await connection.execute("DEALLOCATE asked")
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return max(0, int(pages - MOST_FOR_A_ROW * plan["Actual Rows"] - MOST_BESIDES))


async def test_no_read_goes_through_a_list(pool: Any) -> None:
    crowd = await make_crowd(pool, JOBS)
    asked: list[tuple[str, *tuple[object, ...]]] = [
        ("show_run", crowd.queued),
        ("owner_of_run", crowd.queued),
        ("counts", crowd.business),
        ("active_run", 30.0),
        ("active_run_of_business", 30.0, crowd.business),
        ("page_of_runs", None, 51),
        ("page_of_runs_of_business", OLD_RUNS // 2, 51, crowd.business),
        *(("page_of_runs_with_status", None, 51, status) for status in ("running", "stopped", "failed")),
        *(("page_of_runs_of_business_with_status", None, 51, crowd.business, s) for s in ("paused", "failed")),
    ]
    for run in crowd.runs:
        for after in (None, JOBS // 2):
            asked += [("page_of_jobs", run, after, 51)]
            asked += [("page_of_jobs_with_status", run, after, 51, status) for status in STATUSES]
    found = {which: await _reads_too_much(pool, *which) for which in asked}
    assert {which: pages for which, pages in found.items() if pages} == {}


async def test_pages_by_status_are_what_the_whole_list_says(pool: Any) -> None:
    crowd = await make_crowd(pool, 3_000)
    for run in crowd.runs:
        whole = await pool.fetch(sql.query("page_of_jobs"), run, None, 3_000)
        assert [row["position"] for row in whole] == list(range(3_000))
        for status in STATUSES:
            expected = [row["job_id"] for row in whole if row["status"] == status]
            page = await pool.fetch(sql.query("page_of_jobs_with_status"), run, None, 2_000, status)
            assert [row["job_id"] for row in page] == expected[:2_000]
            assert {row["status"] for row in page} <= {status}


async def test_a_page_goes_on_behind_its_cursor_whatever_is_swept_meanwhile(pool: Any) -> None:
    """The first 1,000 rows have been; the others are only shown where they are going."""
    swept = (await make_crowd(pool, 3_000)).swept
    seen: list[int] = []
    for _ in range(4):
        page = await pool.fetch(
            sql.query("page_of_jobs_with_status"), swept, seen[-1] if seen else 900, 75, "cancelled"
        )
        seen += [row["position"] for row in page]
        await pool.execute(sql.query("sweep_run"), swept, 30)
    assert seen == list(range(901, 901 + 4 * 75))
