"""What is done to a run as a whole, as statements; and a look at who waits for whom."""

from __future__ import annotations

from typing import Any

import sql
from tests.support.runs import Run, Worker, add_business, add_run

ACTIONS = ("cancel", "force_cancel", "stop")


async def stop(db: Any, run: int, action: str, *, hangup: bool = False) -> Any:
    return await db.fetchrow(sql.query("stop_run"), run, action, "operator", None, hangup)


async def hold(db: Any, run: int, action: str) -> Any:
    return await db.fetchrow(sql.query("hold_run"), run, action, "operator", None)


async def stop_stale(db: Any, run: int, seconds: float) -> Any:
    return await db.fetchrow(sql.query("stop_stale_run"), run, seconds, "stale", "control", None)


async def dialing(db: Any, jobs: int, live: int) -> tuple[Run, Worker, list[Any]]:
    """A running run with so many jobs, the first of them with intents."""
    run = await add_run(db, await add_business(db, limit=100), jobs)
    worker = await Worker.join(db)
    await worker.claim()
    written = await worker.intend(run.run_id, list(range(1, live + 1))) if live else []
    return run, worker, written


async def row_of(db: Any, run: Run) -> Any:
    return await db.fetchrow("SELECT * FROM outbound_call_runs WHERE id = $1", run.run_id)


async def sweep(db: Any, run: Run, count: int = 5000) -> int:
    return len(await db.fetch(sql.query("sweep_run"), run.run_id, count))


async def waits_for_a_lock(db: Any, like: str) -> bool:
    waiting = await db.fetchval(
        """SELECT count(*) FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1""",
        like,
    )
    return bool(waiting)


async def age_heartbeat(pool: Any, run: Run, seconds: float) -> None:
    await pool.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - make_interval(secs => $2) WHERE id = $1",
        run.run_id,
        seconds,
    )
