"""Does a call cost more in a longer list? `python -m bench.growth [--jobs 1000000] [--calls 300]`

All the statements of a call, each with its durable commit: the intent, the answer to the create, four callbacks. In a
list of a million, half of which is over, and in turn in one of a thousand, which is the floor.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from bench.ground import Line, arguments, durable_servers, migrated_database, show
from dialer.embedded import EmbeddedServers
from tests.support.crowds import add_business, add_jobs, add_runs, claimed_by
from tests.support.runs import Worker, event

SHORT_LIST = 1_000
COURSE = ("initiated", "ringing", "in-progress", "completed")


class List:
    """A run with so many jobs, half of them over, and whoever dials it."""

    def __init__(self, db: Any, jobs: int) -> None:
        self._db = db
        self._jobs = jobs
        self._run = 0
        self._after = -1

    async def prepare(self) -> None:
        business = await add_business(self._db)
        [self._run] = await add_runs(self._db, business, 1)
        self._worker = await Worker.join(self._db)
        await claimed_by(self._worker, 1)
        await add_jobs(self._db, business, self._run, self._jobs // 2, finished=True)
        await add_jobs(self._db, business, self._run, self._jobs // 2, first=self._jobs // 2)
        await self._db.execute("VACUUM ANALYZE", timeout=600)

    async def call(self) -> float:
        """One call from its intent to its end; milliseconds."""
        began = time.perf_counter()
        [row] = await self._worker.intend(self._run, [1], self._after)
        self._after, attempt, sid = row["position"], row["attempt_id"], f"CA{row['attempt_id'].hex}"
        await event(self._db, attempt, "queued", sid=sid, source="answer")
        for sequence, status in enumerate(COURSE):
            await event(self._db, attempt, status, sid=sid, sequence=sequence, duration=1)
        return 1000 * (time.perf_counter() - began)


def main() -> int:
    parser = arguments("growth", __doc__, runs=5)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=300, help="of each list, over all runs")
    options = parser.parse_args()
    with durable_servers() as servers:
        long, short = asyncio.run(measure(servers, options.jobs, options.calls, options.runs))
    title = f"all statements of a call, in a list of {options.jobs} beside one of {SHORT_LIST}"
    show(title, [Line("a call, p50", "ms", long, short)], as_json=options.json)
    return 0


async def measure(servers: EmbeddedServers, jobs: int, calls: int, runs: int) -> tuple[list[float], list[float]]:
    """The median of each run: of the long list, and of the short one."""
    async with AsyncExitStack() as stack:
        lists = []
        for size in (jobs, SHORT_LIST):
            db: Any = await asyncpg.connect(await migrated_database(servers.dsn, f"growth_{size}"))
            stack.push_async_callback(db.close)
            lists.append(List(db, size))
            await lists[-1].prepare()
        medians: tuple[list[float], list[float]] = ([], [])
        for _ in range(runs):
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(calls // runs):
                for one, taken in zip(lists, times, strict=True):
                    taken.append(await one.call())
            for taken, found in zip(times, medians, strict=True):
                found.append(sorted(taken)[len(taken) // 2])
        return medians


if __name__ == "__main__":
    sys.exit(main())
