"""Statements over many rows at once stay proportional to them, also by the plan that Postgres keeps.

After five executions a prepared statement may get a plan made without its arguments: it takes an array for ten
elements long, whatever its length, and joins what it made of it by comparing each with each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import sql
from tests.support.crowds import add_business, add_runs, claimed_by
from tests.support.runs import Worker

RUNS = 500


async def test_a_beat_goes_along_the_indexes_though_it_was_planned_before_there_were_runs(pool: Any) -> None:
    """Its connection is as old as the daemon. What goes through the table compares each run with all of the array."""
    runs, epochs = list(range(1, RUNS + 1)), [1] * RUNS
    asked = ", ".join(map(_literal, (UUID(int=0), runs, epochs, False)))
    async with pool.acquire() as db, db.transaction():
        await prepare_what_is_in_it(db, "beat")
        await db.execute(f"EXECUTE hot ({asked})")
        await add_runs(db, await add_business(db), RUNS)
        [row] = await db.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE hot ({asked})")
    steps = list(_steps(json.loads(row[0])[0]["Plan"]))
    assert len([s for s in steps if s.get("Relation Name") == "outbound_call_runs"]) == 4
    assert [s for s in steps if s["Node Type"] == "Seq Scan"] == []
    assert [s for s in steps if "= ANY (" in s.get("Filter", "") and "hashed" not in s["Filter"]] == []


async def prepare_what_is_in_it(db: Any, function: str) -> None:
    """As `hot`, for this transaction: the one statement of a function, planned as it is planned in there."""
    found = await db.fetchrow(
        "SELECT prosrc, proconfig, proargnames, pronargs FROM pg_proc WHERE proname = $1", function
    )
    text = found["prosrc"].partition("RETURN QUERY")[2].rpartition("END")[0].strip().removesuffix(";")
    for number, name in enumerate(found["proargnames"][: found["pronargs"]], 1):
        text = re.sub(rf"\b{name}\b", f"${number}", text)
    for setting in found["proconfig"]:
        await db.execute(f"SET LOCAL {setting}")
    types = await db.fetchval(
        "SELECT pg_get_function_identity_arguments(oid) FROM pg_proc WHERE proname = $1", function
    )
    await db.execute(f"PREPARE hot ({', '.join(t.split()[-1] for t in types.split(', '))}) AS {text}")


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


def _steps(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _steps(child)
