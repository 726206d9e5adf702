"""What does a second's beat cost? `python -m bench.beats [--most 10000] [--beats 30]`

One daemon's statement for all the runs that it holds, committed durably; beside it the floor: a bare update of so
many rows of three columns.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from bench.ground import Line, arguments, durable_servers, migrated_database, show
from tests.support.crowds import add_business, add_runs, claimed_by
from tests.support.runs import Worker

COUNTS = (1, 100, 1_000, 10_000)
BARE = "UPDATE bare SET beaten_at = now() WHERE id = ANY ($1::bigint[])"


def main() -> int:
    parser = arguments("beats", __doc__, runs=1)
    parser.add_argument("--most", type=int, default=COUNTS[-1], help="runs held, at most")
    parser.add_argument("--beats", type=int, default=30)
    options = parser.parse_args()
    lines = asyncio.run(measure([n for n in COUNTS if n <= options.most], options.beats))
    show(f"{options.beats} beats of all runs at once", lines, as_json=options.json)
    return 0


async def measure(counts: list[int], beats: int) -> list[Line]:
    lines = []
    with durable_servers() as servers:
        for runs in counts:
            db = await asyncpg.connect(await migrated_database(servers.dsn, f"beats_{runs}"))
            try:
                worker, bare = await _held(db, runs)

                async def ours(worker: Worker = worker, runs: int = runs) -> None:
                    verdicts = await worker.beat()
                    assert len(verdicts) == runs
                    assert set(verdicts.values()) == {"beaten"}

                async def floor(db: Any = db, bare: list[int] = bare) -> None:
                    await db.execute(BARE, bare)

                figures = await _in_turn(beats, ours, floor)
                lines.append(Line(f"{runs:,} runs", "ms", *figures))
            finally:
                await db.close()
    return lines


async def _held(db: Any, runs: int) -> tuple[Worker, list[int]]:
    business = await add_business(db)
    await add_runs(db, business, runs)
    worker = await Worker.join(db)
    await claimed_by(worker, runs)
    await db.execute(
        "CREATE TABLE bare (id bigint PRIMARY KEY, worker uuid, beaten_at timestamptz) WITH (fillfactor = 50)"
    )
    await db.execute("INSERT INTO bare SELECT n FROM generate_series(1, $1::integer) AS n", runs)
    await db.execute("VACUUM ANALYZE")
    return worker, list(range(1, runs + 1))


async def _in_turn(count: int, *acts: Callable[[], Awaitable[None]]) -> list[list[float]]:
    """Milliseconds of each act, `count` times one after the other."""
    took: list[list[float]] = [[] for _ in acts]
    for _ in range(count):
        for act, figures in zip(acts, took, strict=True):
            began = time.perf_counter()
            await act()
            figures.append(1000 * (time.perf_counter() - began))
    return took


if __name__ == "__main__":
    sys.exit(main())
