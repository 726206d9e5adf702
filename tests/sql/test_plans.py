"""Statements over many rows at once stay proportional to them, also by the plan that Postgres keeps.

After five executions a prepared statement may get a plan made without its arguments: it takes an array for ten
elements long, whatever its length, and joins what it made of it by comparing each with each.
"""

from __future__ import annotations

import json
from typing import Any

import sql
from tests.support.crowds import add_business, add_runs, claimed_by
from tests.support.runs import Worker

RUNS = 500


async def test_a_beat_compares_nothing_with_everything(pool: Any) -> None:
    await add_runs(pool, await add_business(pool), RUNS)
    worker = await Worker.join(pool)
    await claimed_by(worker, RUNS)
    runs = list(worker.epochs)
    compared = await rows_compared(pool, "beat", worker.id, runs, [worker.epochs[r] for r in runs], False)
    assert compared < 10 * RUNS


async def test_adopting_compares_nothing_with_everything(pool: Any) -> None:
    business = await add_business(pool)
    await add_runs(pool, business, RUNS)
    worker = await Worker.join(pool)
    await claimed_by(worker, RUNS)
    runs = list(worker.epochs)
    compared = await rows_compared(pool, "adopt_attempts", runs, [worker.epochs[r] for r in runs])
    assert compared < 10 * RUNS


async def rows_compared(pool: Any, name: str, *arguments: Any) -> int:
    """How many rows its joins looked at in vain, by a plan made without the arguments."""
    async with pool.acquire() as db, db.transaction():
        await db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await db.execute(f"PREPARE hot AS {sql.query(name)}")
        given = ", ".join(_literal(argument) for argument in arguments)
        [row] = await db.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE hot ({given})")
        await db.execute("DEALLOCATE hot")
    return sum(_looked_at(plan["Plan"]) for plan in json.loads(row[0]))


def _literal(argument: Any) -> str:
    if isinstance(argument, list):
        return f"'{{{','.join(str(element) for element in argument)}}}'"
    return f"'{argument}'"


def _looked_at(node: dict[str, Any]) -> int:
    removed = sum(int(count) for key, count in node.items() if key.startswith("Rows Removed by"))
    return removed * int(node["Actual Loops"]) + sum(_looked_at(child) for child in node.get("Plans", ()))
