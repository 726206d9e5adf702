"""How long does it take to claim the next job? `python -m bench.claim [--jobs 1000000] [--claims 300]`

The intent (write_intents) of one slot, over one connection: the statement by itself, and with its durable commit; in
every setting in which a claim was ever seen to become slow. Beside it the floor: one bare insert, committed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg

from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from tests.support.crowds import add_business, add_jobs, add_runs, claimed_by
from tests.support.runs import Worker


@dataclass
class Scene:
    """A database in which to claim: the worker holds `run`, and the queue goes on behind `after`."""

    db: Any
    other: Any
    jobs: int
    business: int = 0
    run: int = 0
    after: int = -1
    worker: Worker = field(init=False)

    async def prepare(self, arrange: Callable[[Scene], Awaitable[None]]) -> None:
        self.business = await add_business(self.db)
        [self.run] = await add_runs(self.db, self.business, 1)
        self.worker = await Worker.join(self.db)
        await claimed_by(self.worker, 1)
        await arrange(self)
        await self.db.execute("CREATE TABLE bare (id uuid PRIMARY KEY, slot integer)")

    async def add(self, count: int, *, run: int | None = None, finished: bool = False, first: int = 0) -> None:
        await add_jobs(self.db, self.business, run or self.run, count, finished=finished, first=first)


async def ten_thousand(scene: Scene) -> None:
    await scene.add(10_000)


async def many(scene: Scene) -> None:
    await scene.add(scene.jobs)
    await scene.db.execute("ANALYZE outbound_call_jobs")


async def behind_finished(scene: Scene) -> None:
    """The daemon was restarted: its cursor starts at the front again, before all that is over."""
    await scene.add(scene.jobs, finished=True)
    await scene.add(10_000, first=scene.jobs)
    await scene.db.execute("ANALYZE outbound_call_jobs")


async def just_imported(scene: Scene) -> None:
    """Another run's list was there, and counted by the planner; this one it has never seen."""
    [large] = await add_runs(scene.db, scene.business, 1)
    await scene.add(scene.jobs, run=large)
    await scene.db.execute("ANALYZE outbound_call_jobs")
    await scene.add(10_000)


async def old_snapshot(scene: Scene) -> None:
    """Somebody's report has been open since before most of the list was dialed: nothing dead can go."""
    await scene.add(scene.jobs)
    await scene.other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await scene.other.fetchval("SELECT count(*) FROM businesses")
    await scene.db.execute(
        """UPDATE outbound_call_jobs SET status = 'completed', disposition = 'answered', ended_at = now()
           WHERE run_id = $1 AND position < $2""",
        scene.run,
        scene.jobs // 2,
        timeout=600,
    )
    scene.after = scene.jobs // 2 - 1


SETTINGS = {
    "10,000 queued": ten_thousand,
    "all queued": many,
    "behind all finished": behind_finished,
    "just imported behind all": just_imported,
    "an old snapshot held": old_snapshot,
}


def main() -> int:
    parser = arguments("claim", __doc__, runs=1)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--claims", type=int, default=300)
    options = parser.parse_args()
    lines = asyncio.run(measure(options.jobs, options.claims))
    show(f"{options.claims} claims of one job, {options.jobs} jobs", lines, as_json=options.json)
    return 0


async def measure(jobs: int, claims: int) -> list[Line]:
    lines = []
    with durable_servers() as servers:
        for number, (name, arrange) in enumerate(SETTINGS.items()):
            async with _scene(await migrated_database(servers.dsn, f"claim_{number}"), jobs) as scene:
                await scene.prepare(arrange)
                lines += await timed(name, scene, claims)
    return lines


@asynccontextmanager
async def _scene(database: str, jobs: int) -> AsyncIterator[Scene]:
    db, other = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        yield Scene(db, other, jobs)
    finally:
        await other.close()
        await db.close()


async def timed(name: str, scene: Scene, claims: int) -> list[Line]:
    """p50 and p99 of the statement, and p50 of it with its commit beside the bare insert's."""
    statement, whole, floor = [], [], []
    for slot in range(1, claims + 1):
        began = time.perf_counter()
        async with scene.db.transaction():
            started = time.perf_counter()
            [row] = await scene.worker.intend(scene.run, [slot], scene.after)
            statement.append(1000 * (time.perf_counter() - started))
        whole.append(1000 * (time.perf_counter() - began))
        assert row["verdict"] == "intent", row
        scene.after = row["position"]
        floor.append(await _bare(scene.db, slot))
    return [
        Line(f"{name}: p50", "ms", [_p(statement, 0.5)]),
        Line(f"{name}: p99", "ms", [_p(statement, 0.99)]),
        Line(f"{name}: committed", "ms", [_p(whole, 0.5)], [_p(floor, 0.5)]),
    ]


async def _bare(db: Any, slot: int) -> float:
    began = time.perf_counter()
    async with db.transaction():
        await db.execute("INSERT INTO bare VALUES ($1, $2)", uuid4(), slot)
    return 1000 * (time.perf_counter() - began)


def _p(figures: list[float], share: float) -> float:
    return rank(sorted(figures), share)


if __name__ == "__main__":
    sys.exit(main())
