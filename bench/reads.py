"""How long do reads take beside a million queued jobs? `python -m bench.reads [--jobs 1000000] [--requests 100]`

Over HTTP, one after the other, of a control process of its own: a run with so many queued jobs, one with so many
finished ones among which a few failed, and ten thousand old runs. What a read costs without any list, `/livez`
apart, is the floor: the status of a run of one job.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from tests.support.crowds import add_business, add_jobs, add_runs
from tests.support.runs import Worker
from tests.system.stack import TOKEN, Stack, stack

OLD_RUNS = 10_000
RARE = 5


def main() -> int:
    parser = arguments("reads", __doc__, runs=1)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    with durable_servers() as servers, tempfile.TemporaryDirectory() as logs:
        lines = asyncio.run(measure(servers, Path(logs), options.jobs, options.requests))
    show(f"reads over HTTP, {options.jobs} queued and as many finished jobs", lines, as_json=options.json)
    return 0


async def measure(servers: Any, logs: Path, jobs: int, requests: int) -> list[Line]:
    database = await migrated_database(servers.dsn, "reads")
    async with stack(database, servers.redis_url, logs, RATE_LIMIT_PER_SECOND="100000") as system:
        business, queued, finished, small = await crowd(system.db, jobs)
        run = f"/api/runs/{queued}"
        middle = jobs // 2
        asked = {
            "status": run,
            "list": f"/api/runs?business_id={business}",
            "list, no such status": "/api/runs?status=failed",
            "active": f"/api/outbound_calls/jobs/active?business_id={business}",
            "counts": f"/api/outbound_calls/counts?business_id={business}",
            "jobs": f"{run}/jobs",
            "jobs, 500 from the middle": f"{run}/jobs?limit=500&cursor={middle}",
            "jobs queued": f"{run}/jobs?status=queued&cursor={middle}",
            "jobs dialing": f"{run}/jobs?status=dialing",
            "jobs completed, none": f"{run}/jobs?status=completed",
            "jobs completed, all": f"/api/runs/{finished}/jobs?status=completed&cursor={middle}",
            f"jobs failed, {RARE} of all": f"/api/runs/{finished}/jobs?status=failed",
            "jobs queued, none left": f"/api/runs/{finished}/jobs?status=queued",
        }
        lines = [await timed(system, name, path, f"/api/runs/{small}", requests) for name, path in asked.items()]
        return [*lines, await exported(system, finished, jobs)]


async def crowd(db: Any, jobs: int) -> tuple[int, int, int, int]:
    """The business, and its runs: all queued but two that are dialed, all finished, of one job."""
    business = await add_business(db)
    old = await add_runs(db, business, OLD_RUNS)
    queued, finished, small = await add_runs(db, business, 3)
    await add_jobs(db, business, queued, jobs)
    await add_jobs(db, business, finished, jobs, finished=True)
    await add_jobs(db, business, small, 1)
    # Past the triggers: what has ended does not change, and of what is inserted only queued jobs are counted.
    await db.execute("ALTER TABLE outbound_call_jobs DISABLE TRIGGER USER")
    await db.execute(
        """UPDATE outbound_call_jobs SET status = 'failed', disposition = 'busy'
           WHERE run_id = $1 AND position % $2::integer = 1""",
        *(finished, jobs // RARE),
        timeout=60,
    )
    await db.execute("ALTER TABLE outbound_call_jobs ENABLE TRIGGER USER")
    await db.execute(
        "UPDATE outbound_call_run_counters SET completed = $2, failed = $3 WHERE run_id = $1",
        *(finished, jobs - RARE, RARE),
    )
    await db.execute(
        "UPDATE outbound_call_runs SET status = 'completed' WHERE id = ANY ($1)", [*old, finished], timeout=60
    )
    worker = await Worker.join(db)
    while queued not in worker.epochs:
        await worker.claim()
    await worker.intend(queued, [1, 2])
    await db.execute("VACUUM ANALYZE", timeout=300)
    return business, queued, finished, small


async def timed(system: Stack, name: str, path: str, plain: str, requests: int) -> Line:
    """The 99th percentile of each, asked in turns."""
    ours, floor = [], []
    for _ in range(requests):
        ours.append(await once(system, path))
        floor.append(await once(system, plain))
    return Line(name, "ms", [rank(sorted(ours), share) for share in (0.0, 0.5, 0.99)], [rank(sorted(floor), 0.5)])


async def once(system: Stack, path: str) -> float:
    began = time.perf_counter()
    await system.ask("GET", path)
    return 1000 * (time.perf_counter() - began)


async def exported(system: Stack, run: int, jobs: int) -> Line:
    """Rows of a report a second."""
    began = time.perf_counter()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with system.http.get(f"{system.url}/api/runs/{run}/report.csv", headers=headers, timeout=None) as answer:
        lines = 0
        async for chunk in answer.content.iter_any():
            lines += chunk.count(b"\r\n")
    assert lines == jobs + 1, lines
    return Line("rows of a report", "/s", [jobs / (time.perf_counter() - began)])


if __name__ == "__main__":
    sys.exit(main())
