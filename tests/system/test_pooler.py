"""Everything behind PgBouncer in transaction mode, but the migrations, which have a connection of their own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from simulator import INSTANT
from tests.support import pooler
from tests.system.proxied import SETTLE_SOON, SHORT
from tests.system.quiet import slots_are_free
from tests.system.stack import numbers, stack

LIMIT = 3
CARRIER = INSTANT.changed({"talk_seconds": 0.1, "digits_decide": False})


@pytest.mark.parametrize("prepared", ["0", "100"])
async def test_runs_are_dialed_taken_over_and_stopped_behind_a_pooler(
    empty_database: str, redis_url: str, redis: object, tmp_path: Path, prepared: str
) -> None:
    if prepared != "0" and pooler.version() < pooler.KNOWS_PREPARED_STATEMENTS:
        pytest.skip(f"PgBouncer {pooler.version()} knows no prepared statements")
    with pooler.Pooler(empty_database, tmp_path).running() as through:
        environment = {
            "DATABASE_URL": through.dsn,
            "MIGRATION_DATABASE_URL": empty_database,
            "RUN_MIGRATIONS": "1",
            "DATABASE_STATEMENT_CACHE_SIZE": prepared,
            **SETTLE_SOON,
        }
        async with stack(empty_database, redis_url, tmp_path, CARRIER, **environment) as system:
            killed, kept = await system.daemon(), await system.daemon()
            businesses = [await system.business(limit=LIMIT) for _ in range(3)]
            phones = list(numbers(120))
            runs = [await system.start(b, phones[n * 40 : n * 40 + 40], **SHORT) for n, b in enumerate(businesses)]
            assert await system.sim.wait_for(lambda: len(system.sim.ledger.arrivals) > 15, 10)
            killed.send(signal.SIGKILL)
            stopped = await system.ask("POST", f"/api/runs/{runs[0]}/stop")
            for run in runs:
                shown = await system.ended(run)
            assert shown["completed"] >= 38  # what the killed daemon had on the wire may be unknown
            assert stopped["cancelled_jobs"] == (await system.run(runs[0]))["cancelled"] > 0
            await slots_are_free(system, redis)
            await system.check(*runs)
            assert kept.events("DATABASE_REFUSED", "DATABASE_AWAY") == []
