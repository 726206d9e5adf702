"""Claims, beats, hand-over, take-over: who may dial a run."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

import sql
from tests.support.runs import Worker, add_business, add_run, event


async def age_heartbeat(db: Any, run: int, seconds: int) -> None:
    await db.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - make_interval(secs => $2) WHERE id = $1",
        run,
        seconds,
    )


async def test_a_pending_run_is_claimed_once(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 3)
    one, two = await Worker.join(pool), await Worker.join(pool)
    [row] = await one.claim()
    assert (row["run_id"], row["lease_epoch"], row["resumed"], row["queued"]) == (run.run_id, 1, False, 3)
    assert await two.claim() == []


async def test_two_live_daemons_share_the_runs(pool: Any) -> None:
    business = await add_business(pool)
    for _ in range(4):
        await add_run(pool, business, 1)
    one, two = await Worker.join(pool), await Worker.join(pool)
    assert (len(await one.claim()), len(await one.claim()), len(await two.claim())) == (2, 0, 2)


async def test_take_over_only_after_the_lease_and_within_the_resume_window(pool: Any, database: str) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    one, two = await Worker.join(pool), await Worker.join(pool)
    await one.claim()
    await age_heartbeat(pool, run.run_id, 5)
    assert await two.claim(takeover=6) == []
    # Tests run soon after their Postgres started: a lease that is shorter than its life stands in for one of six.
    await age_heartbeat(pool, run.run_id, 400)
    assert await two.claim(takeover=0.001, resume=300) == []
    await age_heartbeat(pool, run.run_id, 200)
    [row] = await two.claim(takeover=0.001, resume=300)
    assert (row["lease_epoch"], row["resumed"]) == (2, True)


async def test_no_take_over_within_a_leases_length_of_a_start_of_postgres(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    one, two = await Worker.join(pool), await Worker.join(pool)
    await one.claim()
    await age_heartbeat(pool, run.run_id, 80_000)
    longer_than_postgres_lives = 70_000.0
    assert await two.claim(takeover=longer_than_postgres_lives, resume=90_000) == []


async def test_a_beat_prolongs_and_tells_lost_from_skipped(pool: Any) -> None:
    business = await add_business(pool)
    kept, locked, stolen = [await add_run(pool, business, 1) for _ in range(3)]
    one = await Worker.join(pool)
    await one.claim()
    await age_heartbeat(pool, kept.run_id, 4)
    await pool.execute("UPDATE outbound_call_runs SET lease_epoch = lease_epoch + 1 WHERE id = $1", stolen.run_id)
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM outbound_call_runs WHERE id = $1 FOR UPDATE", locked.run_id)
        assert await one.beat() == {kept.run_id: "beaten", locked.run_id: "skipped", stolen.run_id: "lost"}
    age = await pool.fetchval(
        "SELECT extract(epoch FROM now() - last_heartbeat_at) FROM outbound_call_runs WHERE id = $1", kept.run_id
    )
    assert age < 4


async def test_a_late_beat_revives_a_lease_that_nobody_took(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    one = await Worker.join(pool)
    await one.claim()
    await age_heartbeat(pool, run.run_id, 100)
    assert await one.beat() == {run.run_id: "beaten"}


async def test_hand_over_gives_the_lease_back_and_the_next_claim_resumes(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    one, two = await Worker.join(pool), await Worker.join(pool)
    await one.claim()
    rows = await pool.fetch(sql.query("hand_over_runs"), one.id)
    assert [r["run_id"] for r in rows] == [run.run_id]
    row = await pool.fetchrow("SELECT * FROM outbound_call_runs WHERE id = $1", run.run_id)
    assert (row["status"], row["locked_by_worker"], row["last_heartbeat_at"], row["lock_ts"]) == (
        "pending",
        None,
        None,
        None,
    )
    [claimed] = await two.claim()
    assert (claimed["resumed"], claimed["lease_epoch"]) == (True, 3)
    assert await pool.fetch(sql.query("hand_over_runs"), one.id) == []


async def test_the_intents_of_a_former_holder_become_unknown(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 3)
    one, two = await Worker.join(pool), await Worker.join(pool)
    await one.claim()
    sent, unsent = await one.intend(run.run_id, [1, 2])
    await event(pool, sent["attempt_id"], "queued", source="answer")
    await age_heartbeat(pool, run.run_id, 100)
    await two.claim(takeover=0.001)
    adopt = sql.query("adopt_attempts")
    rows = await pool.fetch(adopt, [run.run_id], [two.epochs[run.run_id]])
    assert {r["attempt_id"] for r in rows} == {sent["attempt_id"], unsent["attempt_id"]}
    states = dict(await pool.fetch("SELECT id, state FROM outbound_call_attempts"))
    assert states == {sent["attempt_id"]: "requested", unsent["attempt_id"]: "unknown"}
    await pool.fetch(adopt, [run.run_id], [two.epochs[run.run_id]])
    assert dict(await pool.fetch("SELECT id, state FROM outbound_call_attempts")) == states


@pytest.mark.parametrize("status", ["stopped", "paused", "cancelled", "failed", "pending"])
async def test_a_run_that_leaves_running_by_any_statement_loses_its_lock_and_its_epoch_grows(
    pool: Any, status: str
) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    one = await Worker.join(pool)
    await one.claim()
    await pool.execute("UPDATE outbound_call_runs SET status = $2 WHERE id = $1", run.run_id, status)
    row = await pool.fetchrow("SELECT * FROM outbound_call_runs WHERE id = $1", run.run_id)
    assert (row["locked_by_worker"], row["last_heartbeat_at"], row["lock_ts"], row["lease_epoch"]) == (
        None,
        None,
        None,
        2,
    )
    assert (row["ended_at"] is not None) == (status in ("stopped", "cancelled", "failed"))
    assert [r["verdict"] for r in await one.intend(run.run_id, [1])] == ["lost"]


async def test_the_runbooks_repair_statement_works_as_written(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 2)
    one = await Worker.join(pool)
    await one.claim()
    await pool.execute(f"UPDATE outbound_call_runs SET status='stopped', ended_at=now() WHERE id = {run.run_id}")
    row = await pool.fetchrow("SELECT * FROM outbound_call_runs WHERE id = $1", run.run_id)
    assert (row["status"], row["locked_by_worker"], row["sweep_to"]) == ("stopped", None, "cancelled")
    ended_at = row["ended_at"]
    await pool.execute(f"UPDATE outbound_call_runs SET status='stopped', ended_at=now() WHERE id = {run.run_id}")
    assert await pool.fetchval("SELECT ended_at FROM outbound_call_runs") == ended_at


@pytest.mark.parametrize(
    ("ended", "to"), [("completed", "running"), ("stopped", "pending"), ("cancelled", "paused")]
)
async def test_an_ended_run_never_moves_again(pool: Any, ended: str, to: str) -> None:
    run = await add_run(pool, await add_business(pool), 1)
    await pool.execute("UPDATE outbound_call_runs SET status = $2 WHERE id = $1", run.run_id, ended)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE outbound_call_runs SET status = $2 WHERE id = $1", run.run_id, to)


async def test_swept_jobs_go_where_the_stop_said_and_a_second_sweep_does_nothing(pool: Any) -> None:
    run = await add_run(pool, await add_business(pool), 5)
    await pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", run.run_id)
    swept = [len(await pool.fetch(sql.query("sweep_run"), run.run_id, 3)) for _ in range(3)]
    assert swept == [3, 2, 0]
    row = await pool.fetchrow("SELECT * FROM outbound_call_run_counters")
    assert (row["queued"], row["cancelled"], row["not_dialed"]) == (0, 5, 5)
    assert len(await pool.fetch(sql.query("mark_swept"), run.run_id)) == 1
    assert await pool.fetch(sql.query("runs_to_sweep"), 10) == []


async def test_runs_that_only_wait_for_their_calls_do_not_hide_others_from_the_sweeper(pool: Any) -> None:
    business = await add_business(pool, limit=10)
    worker = await Worker.join(pool)
    for slot in range(1, 4):
        await add_run(pool, business, 1)
        [row] = await worker.claim()
        await worker.intend(row["run_id"], [slot])
        await pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", row["run_id"])
        worker.epochs.clear()
    waiting = await add_run(pool, business, 2)
    await pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", waiting.run_id)
    rows = await pool.fetch(sql.query("runs_to_sweep"), 3)
    assert [r["run_id"] for r in rows] == [waiting.run_id]
