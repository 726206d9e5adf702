"""Runs that nobody keeps are stopped: for time that control witnessed, one by one, and no others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from structlog.testing import capture_logs

from control.stopping.reaper import Sight
from tests.control.gate import gate_before
from tests.control.house import House, news, sid
from tests.support.prometheus import Scraped
from tests.support.runs import Run, Worker, add_business, add_run, assert_counters_match
from tests.support.waiting import eventually

OpenHouse = Callable[..., Awaitable[House]]
NEVER = "80000"
# In life 30 s.
STALE = 1.2
SOON = {"STALE_AFTER_SECONDS": str(STALE)}


async def held(pool: Any, *, age: float = 0, jobs: int = 3, business: int | None = None) -> tuple[Run, Worker]:
    """A running run of a business of its own, last beaten so many seconds ago."""
    run = await add_run(pool, business or await add_business(pool, limit=10), jobs)
    worker = await Worker.join(pool)
    [claimed] = await worker.claim(takeover=float(NEVER))
    assert claimed["run_id"] == run.run_id
    await age_heartbeat(pool, run, age)
    return run, worker


async def age_heartbeat(pool: Any, run: Run, seconds: float) -> None:
    await pool.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - make_interval(secs => $2) WHERE id = $1",
        run.run_id,
        seconds,
    )


async def status_of(pool: Any, run: Run) -> str:
    status: str = await pool.fetchval("SELECT status FROM outbound_call_runs WHERE id = $1", run.run_id)
    return status


async def becomes_stopped(pool: Any, run: Run, timeout: float = 10) -> None:
    async def is_it() -> bool:
        return await status_of(pool, run) == "stopped"

    await eventually(is_it, timeout=timeout, interval=0.05, description=f"run {run.run_id} is stopped")


async def seconds_from(pool: Any, moment: Any, run: Run) -> float:
    """From a moment of the database's clock to the end of a run."""
    seconds: float = await pool.fetchval(
        "SELECT extract(epoch FROM ended_at - $2)::float8 FROM outbound_call_runs WHERE id = $1",
        run.run_id,
        moment,
    )
    return seconds


async def test_a_run_without_a_daemon_is_stopped_and_its_business_goes_on(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    dead, gone = await held(pool, jobs=5)
    [live] = await gone.intend(dead.run_id, [1])
    kept, keeper = await held(pool)
    with capture_logs() as logs:
        house = await (await open_house(database, redis_url, **SOON)).ready()

        async def dead_is_stopped_while_the_other_is_kept() -> bool:
            assert await keeper.beat() == {kept.run_id: "beaten"}
            return await status_of(pool, dead) == "stopped"

        await eventually(dead_is_stopped_while_the_other_is_kept, timeout=10, interval=0.1)
    [line] = [entry for entry in logs if entry["event"] == "STALE_DETECTION"]
    assert (line["run_id"], line["business_id"], line["jobs_not_dialed"]) == (dead.run_id, dead.business_id, 4)
    assert (line["actor"], line["worker"]) == ("control", str(gone.id))
    assert line["heartbeat_age_seconds"] >= STALE
    stopped = Scraped.of((await house.ask("GET", "/metrics", None)).text)
    assert stopped.by("action", "dialer_stale_runs_stopped_total") == {"stale": 1}
    shown = await house.run(dead.run_id)
    assert (shown["queued"], shown["failed"], shown["in_progress"]) == (0, 4, 1)
    assert (shown["locked_by_worker"], shown["last_heartbeat_at"]) == (None, None)
    assert shown["ended_at"] is not None
    assert shown["dispositions"] == {"not_dialed": 4}
    assert shown["last_error"].startswith("stale: ")
    path = f"/api/outbound_calls/jobs/active?business_id={dead.business_id}"
    assert (await house.ask("GET", path)).data["code"] == "no_active_run"
    # Its business starts anew at once; the call that is live has its slot, and ends in its run.
    again = await add_run(pool, dead.business_id, 1)
    gone.epochs.clear()
    await gone.claim(takeover=float(NEVER))
    assert [row["verdict"] for row in await gone.intend(again.run_id, [2])] == ["intent"]
    await house.call_status(live["attempt_id"], news(sid(), 3, "completed"))
    assert (await house.run(dead.run_id))["completed"] == 1
    assert await status_of(pool, kept) == "running"
    actions = await pool.fetch("SELECT action, actor, run_id FROM audit_log")
    assert [tuple(row) for row in actions] == [("stale", "control", dead.run_id)]
    await assert_counters_match(pool, dead.run_id)


async def test_time_before_its_own_start_does_not_count(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    run, _ = await held(pool, age=60)
    before = await pool.fetchval("SELECT clock_timestamp()")
    await (await open_house(database, redis_url, **SOON)).ready()
    await becomes_stopped(pool, run)
    assert await seconds_from(pool, before, run) >= STALE


async def test_time_without_sight_of_the_database_does_not_count(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    first, _ = await held(pool, age=60)
    second, _ = await held(pool, age=-3600)
    async with gate_before(database) as gate:
        with capture_logs() as logs:
            house = await (await open_house(gate.dsn, redis_url, **SOON)).ready()
            await becomes_stopped(pool, first)  # control has been watching for long enough
            await gate.shut()
            await age_heartbeat(pool, second, 60)
            await eventually(
                lambda: any(e["event"] == "DEPENDENCY_AWAY" and e.get("loop") == "reap" for e in logs)
            )
            before = await pool.fetchval("SELECT clock_timestamp()")
            await gate.open()
            await becomes_stopped(pool, second)
        assert await seconds_from(pool, before, second) >= STALE
        await house.client.close()


async def test_what_is_too_old_to_be_resumed_is_stopped_at_the_start(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    old, _ = await held(pool, age=400, jobs=2)
    younger, _ = await held(pool, age=200)
    cancelled, canceller = await held(pool, age=400)
    await canceller.intend(cancelled.run_id, [1])
    await pool.execute("UPDATE outbound_call_runs SET cancel_requested = true WHERE id = $1", cancelled.run_id)
    waiting = await add_run(pool, await add_business(pool), 1)
    with capture_logs() as logs:
        house = await (await open_house(database, redis_url, STALE_AFTER_SECONDS=NEVER)).ready()
        await becomes_stopped(pool, old, timeout=5)
    [line] = [entry for entry in logs if entry["event"] == "STARTUP_CLEANUP"]
    assert (line["run_id"], line["jobs_not_dialed"]) == (old.run_id, 2)
    assert (await house.run(old.run_id))["dispositions"] == {"not_dialed": 2}
    assert await pool.fetchval("SELECT action FROM audit_log") == "startup_cleanup"
    assert [await status_of(pool, run) for run in (younger, cancelled, waiting)] == [
        "running",
        "running",
        "pending",
    ]


async def test_a_cancelled_run_whose_daemon_died_is_never_stale_and_ends_by_its_callbacks(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    run, worker = await held(pool)
    [live] = await worker.intend(run.run_id, [1])
    house = await (await open_house(database, redis_url, **SOON)).ready()
    assert (await house.ask("POST", f"/api/runs/{run.run_id}/cancel")).data["status"] == "running"
    other, _ = await held(pool, age=60)
    await becomes_stopped(pool, other)
    cleaned = await house.ask("POST", "/api/outbound/cleanup-stuck-jobs")
    assert cleaned.data == {"cleaned_count": 0, "runs": []}
    assert await status_of(pool, run) == "running"
    await house.call_status(live["attempt_id"], news(sid(), 3, "no-answer"))
    assert await status_of(pool, run) == "cancelled"


async def test_one_run_that_cannot_be_stopped_keeps_no_other_from_it(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    locked, _ = await held(pool, age=60)
    broken, _ = await held(pool, age=60)
    last, _ = await held(pool, age=60)
    await pool.execute(
        f"""CREATE FUNCTION break_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
            CREATE TRIGGER break_it BEFORE UPDATE OF status ON outbound_call_runs FOR EACH ROW
            WHEN (OLD.id = {broken.run_id}) EXECUTE FUNCTION break_it()"""
    )
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM outbound_call_runs WHERE id = $1 FOR UPDATE", locked.run_id)
        with capture_logs() as logs:
            await (await open_house(database, redis_url, **SOON)).ready()
            await becomes_stopped(pool, last)
        assert await status_of(pool, broken) == await status_of(pool, locked) == "running"
        assert [entry["error"] for entry in logs if entry["event"] == "FAULT"]
        await transaction.rollback()
    await becomes_stopped(pool, locked)


async def test_many_controls_stop_each_run_once(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    runs = [(await held(pool, age=60))[0] for _ in range(10)]
    for _ in range(3):
        await (await open_house(database, redis_url, **SOON)).ready()
    for run in runs:
        await becomes_stopped(pool, run)
    rows = await pool.fetch("SELECT run_id FROM audit_log WHERE action = 'stale' ORDER BY run_id")
    assert [row["run_id"] for row in rows] == [run.run_id for run in runs]


async def test_a_cleanup_stops_the_callers_own_or_the_operators_all_and_twice_nothing(
    open_house: OpenHouse, database: str, redis_url: str, pool: Any
) -> None:
    house = await (await open_house(database, redis_url)).ready()
    mine, _ = await held(pool, age=31)
    theirs = [(await held(pool, age=31))[0] for _ in range(2)]
    fresh, _ = await held(pool, business=mine.business_id)
    path = "/api/outbound/cleanup-stuck-jobs"
    member, reader = await house.key(mine.business_id), await house.key(mine.business_id, "read_only")
    assert (await house.ask("POST", path, reader)).status == 403
    assert (await house.ask("POST", path, member, json={"business_id": theirs[0].business_id})).status == 403
    with capture_logs() as logs:
        cleaned = await house.ask("POST", path, member, json={"reason": "stuck since noon"})
    assert (cleaned.status, cleaned.data) == (200, {"cleaned_count": 1, "runs": [mine.run_id]})
    [line] = [entry for entry in logs if entry["event"] == "STALE_DETECTION"]
    assert (line["actor"].startswith("key:"), line["reason"]) == (True, "stuck since noon")
    row = await pool.fetchrow("SELECT * FROM audit_log WHERE run_id = $1", mine.run_id)
    assert (row["action"], row["actor"], row["reason"]) == ("stale", line["actor"], "stuck since noon")
    one = await house.ask("POST", f"{path}?business_id={theirs[0].business_id}")
    assert one.data == {"cleaned_count": 1, "runs": [theirs[0].run_id]}
    assert (await house.ask("POST", path)).data == {"cleaned_count": 1, "runs": [theirs[1].run_id]}
    assert (await house.ask("POST", path)).data == {"cleaned_count": 0, "runs": []}
    assert await status_of(pool, fresh) == "running"


def test_sight_is_as_long_as_there_was_no_gap() -> None:
    now = 100.0
    sight = Sight(5, lambda: now)
    assert sight.seconds == 0
    sight.seen()
    now = 104.0
    sight.seen()
    now = 109.0
    sight.seen()
    assert sight.seconds == 9
    # A process that was frozen, or a machine that slept, has seen nothing meanwhile.
    now = 114.1
    sight.seen()
    assert sight.seconds == 0
    now = 116.0
    sight.seen()
    assert sight.seconds > 1.8
    sight.lost()
    assert sight.seconds == 0
    sight.seen()
    assert sight.seconds == 0
