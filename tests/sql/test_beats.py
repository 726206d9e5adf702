"""A beat beside whatever else is being written of the same runs: none costs a lease, and it waits for nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import sql
from tests.support.runs import Worker, add_business, add_run, event


async def test_a_beat_beside_settlements_and_the_end_of_a_run(pool: Any) -> None:
    business = await add_business(pool, limit=20)
    settled, ended, idle = [await add_run(pool, business, jobs) for jobs in (9, 2, 1)]
    worker = await Worker.join(pool)
    await worker.claim()
    several = await worker.intend(settled.run_id, [1, 2, 3])
    last = await worker.intend(ended.run_id, [4, 5])
    async with pool.acquire() as one, pool.acquire() as other, one.transaction(), other.transaction():
        # A batch of facts, not committed: attempts, jobs and counters of the run are locked.
        for n, intent in enumerate(several):
            await event(one, intent["attempt_id"], "completed", sid=f"CA{n}", sequence=3)
        # And the end of another run, which locks its row too.
        for n, intent in enumerate(last):
            await event(other, intent["attempt_id"], "busy", sid=f"CB{n}", sequence=3)
        verdicts = await asyncio.wait_for(worker.beat(), 5)
        assert verdicts == {settled.run_id: "beaten", ended.run_id: "skipped", idle.run_id: "beaten"}
    assert (await worker.beat())[ended.run_id] == "lost", "it has ended"


async def test_a_beat_beside_a_sweep_of_another_run(pool: Any) -> None:
    business = await add_business(pool)
    swept, kept = [await add_run(pool, business, 5) for _ in range(2)]
    worker = await Worker.join(pool)
    await worker.claim()
    await pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", swept.run_id)
    async with pool.acquire() as other, other.transaction():
        assert len(await other.fetch(sql.query("sweep_run"), swept.run_id, 3)) == 3
        verdicts = await asyncio.wait_for(worker.beat(), 5)
        assert verdicts == {swept.run_id: "lost", kept.run_id: "beaten"}
