"""A business moves to another database in the midst of a run, and is dialed on from there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from simulator import INSTANT
from sql.move import MoveRefused, main, move
from tests.support.databases import Databases
from tests.support.waiting import eventually
from tests.system.stack import numbers, stack

CARRIER = INSTANT.changed({"talk_seconds": 0.1, "digits_decide": False})
JOBS = 24
SCALING = Path(__file__).parents[2] / "docs/scaling.md"


async def test_a_business_is_dialed_on_from_another_database(
    database: str,
    databases: Databases,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = databases.create_migrated()
    await _give_it_a_range_of_its_own(target)
    phones = list(numbers(JOBS))
    async with stack(database, redis_url, tmp_path, CARRIER) as here:
        await here.daemon()
        stays = await here.start(await here.business(), [p.replace("+1212", "+1312") for p in phones[:3]])
        business = await here.business(limit=2)
        key = (await here.ask("POST", f"/api/businesses/{business}/keys", json={"name": "crm", "role": "member"}))[
            "token"
        ]
        run = await here.start(business, phones)
        assert await here.sim.wait_for(lambda: len(here.sim.ledger.arrivals) > 6, 10)
        with pytest.raises(MoveRefused, match="under way"):
            await move(database, target, business)
        await here.ask("POST", f"/api/runs/{run}/pause")
        await eventually(lambda: _all_ended(here.db, business))
        # A process's own command, as people use it; in a thread, since it has a loop of its own.
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.setenv("TARGET_DATABASE_URL", target)
        assert await asyncio.to_thread(main, [str(business)]) == 0
        first = set(here.sim.ledger.calls_per_number())
        for table in ("outbound_call_jobs", "outbound_call_events", "api_keys"):
            left = f"SELECT count(*) FROM {table} WHERE business_id = $1"
            assert await here.db.fetchval(left, business) == 0
        assert (await here.ended(stays))["completed"] == 3
        with pytest.raises(MoveRefused, match="no business"):
            await move(database, target, business)
    async with stack(target, redis_url, tmp_path, CARRIER) as there:
        await there.daemon()
        await there.ask("POST", f"/api/runs/{run}/resume", headers={"Authorization": f"Bearer {key}"})
        shown = await there.ended(run)
        assert (shown["status"], shown["completed"]) == ("completed", JOBS)
        second = there.sim.ledger.calls_per_number()
        assert set(phones) - first == set(second)
        assert set(second.values()) == {1}
        # What begins here gets numbers of its own.
        another = await there.start(business, ["+13125550100"])
        assert another > 10**12
        await there.ended(another)
        await there.check(run, another)
    databases.drop(target)


async def _give_it_a_range_of_its_own(dsn: str) -> None:
    """As the document says."""
    [told] = re.findall(r"```sql\n(SELECT setval.*?)```", SCALING.read_text(), re.DOTALL)
    connection = await asyncpg.connect(dsn)
    try:
        assert len(await connection.fetch(told)) > 5
    finally:
        await connection.close()


async def _all_ended(db: Any, business: int) -> bool:
    live = "SELECT count(*) FROM outbound_call_attempts WHERE business_id = $1 AND ended_at IS NULL"
    return bool(await db.fetchval(live, business) == 0)
