"""After a stop the rows follow, a batch at a time, with no daemon alive; readers never notice."""

from __future__ import annotations

import time

from control.app import SWEEP_EVERY_SECONDS
from tests.control.house import House, news, sid
from tests.control.stopping import PATHS, dialing, do, expected, swept
from tests.support.runs import Run, Worker, add_business, add_run, assert_counters_match
from tests.support.waiting import eventually


async def test_a_stop_sets_the_sweep_going_at_once(house: House) -> None:
    began = time.monotonic()
    for _ in range(6):
        run, _, _ = await dialing(house, 3, 0)
        await do(house, PATHS["stop"][0], run.run_id)
        await swept(house, run)
    assert time.monotonic() - began < 4 * SWEEP_EVERY_SECONDS, "each would have waited for the next look"


async def test_a_run_whose_rows_somebody_holds_keeps_no_other_from_being_swept(house: House) -> None:
    stuck, _, _ = await dialing(house, 3, 1)
    other, _, _ = await dialing(house, 3, 0)
    async with house.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM outbound_call_run_counters WHERE run_id = $1 FOR NO KEY UPDATE", stuck.run_id
        )
        await house.pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", stuck.run_id)
        assert (await do(house, PATHS["stop"][0], other.run_id)).data["cancelled_jobs"] == 3
        await swept(house, other)
        assert (await house.run(stuck.run_id))["cancelled"] == 2, "it is shown where its jobs are going"
    await swept(house, stuck)


async def add_a_million(house: House) -> Run:
    run = await add_run(house.pool, await add_business(house.pool), 0)
    # Without triggers and foreign keys: the figures are set by hand.
    await house.pool.execute("ALTER TABLE outbound_call_jobs DISABLE TRIGGER ALL")
    await house.pool.execute(
        """INSERT INTO outbound_call_jobs (run_id, business_id, position, phone)
           SELECT $1, $2, n, '+1' || (2000000000 + n) FROM generate_series(1, 1000000) AS n""",
        run.run_id,
        run.business_id,
        timeout=60,
    )
    await house.pool.execute("ALTER TABLE outbound_call_jobs ENABLE TRIGGER ALL")
    await house.pool.execute("UPDATE outbound_call_run_counters SET queued = 1000000")
    return run


async def test_a_million_queued_jobs_stop_at_once_and_their_rows_follow(house: House) -> None:
    run = await add_a_million(house)
    worker = await Worker.join(house.pool)
    await worker.claim()
    [live] = await worker.intend(run.run_id, [1])
    began = time.monotonic()
    answer = await do(house, PATHS["stop"][0], run.run_id)
    took = time.monotonic() - began
    assert answer.data == expected("stop", run.run_id, 999_999, "stopped")
    assert took < 1, "measured: 5 ms"
    polls = 0

    async def rows_have_followed() -> bool:
        nonlocal polls
        polls += 1
        shown = await house.run(run.run_id)
        assert (shown["total"], shown["cancelled"], shown["queued"]) == (1_000_000, 999_999, 0)
        assert shown["dispositions"] == {"not_dialed": 999_999}
        return not await house.pool.fetchval("SELECT queued FROM outbound_call_run_counters")

    # Measured: 100,000 rows a second on a machine that has nothing else to do.
    await eventually(rows_have_followed, timeout=80, interval=0.1)
    assert polls > 10
    await house.call_status(live["attempt_id"], news(sid(), 3, "completed"))
    shown = await house.run(run.run_id)
    assert (shown["completed"], shown["cancelled"], shown["total"]) == (1, 999_999, 1_000_000)
    await assert_counters_match(house.pool, run.run_id)
