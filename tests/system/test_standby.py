"""A database that fails over to its synchronous standby during a run: nothing is lost, nobody is called twice."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from simulator import INSTANT
from tests.support.standby import pair
from tests.system.proxied import SETTLE_SOON, SHORT
from tests.system.stack import numbers, stack

LIMIT = 3
CARRIER = INSTANT.changed({"talk_seconds": 0.3, "digits_decide": False})


async def test_a_run_goes_on_at_the_standby_that_was_promoted(
    database: str, redis_url: str, tmp_path: Path
) -> None:
    async with (
        pair(database) as servers,
        stack(servers.dsn, redis_url, tmp_path, CARRIER, RUN_MIGRATIONS="1", **SETTLE_SOON) as system,
    ):
        daemons = [await system.daemon(), await system.daemon()]
        runs = []
        phones = list(numbers(90))
        for n in range(3):
            business = await system.business(limit=LIMIT)
            runs.append(await system.start(business, phones[n * 30 : n * 30 + 30], **SHORT))
        ledger = system.sim.ledger
        assert await system.sim.wait_for(lambda: len(ledger.arrivals) > 15, 10)
        await servers.fail_over()
        system.db.terminate()
        system.db = await asyncpg.connect(servers.standby_dsn)
        await system.is_ready()
        for run in runs:
            shown = await system.ended(run, timeout=40)
            assert shown["status"] == "completed"
        assert len(ledger.calls_per_number()) >= 85  # what was on the wire just then may be unknown
        await system.check(*runs)
        assert ledger.most_live() <= LIMIT * len(runs)
        assert all(d.popen.poll() is None for d in daemons)
        await system.db.close()  # another one than the stack opened
