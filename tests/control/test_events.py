"""GET /api/events: a snapshot, then what changes, to whom it concerns."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from structlog.testing import capture_logs

import sql
from control.context import CONTEXT
from control.database import Database
from control.events.watched import Stream
from control.events.watcher import Watcher
from control.requests.patience import Patience
from control.resources.runs import as_shown
from dialer.rhythm import cancelled
from tests.control.gate import gate_before
from tests.control.house import OPERATOR, House, news, sid
from tests.control.listening import Listener, listening, open_streams, serving
from tests.support.runs import Worker, add_business, add_run
from tests.support.waiting import eventually

OpenHouse = Callable[..., Awaitable[House]]
_JOB = ("job_id", "run_id", "business_id", "name")
_STATEMENTS = {
    *("stream_runs", "stream_attempts", "keys_in_force"),
    *("show_runs", "stream_jobs", "stream_slots"),
}


async def _job_of(house: House, attempt: UUID) -> Any:
    return await house.pool.fetchrow("SELECT * FROM outbound_call_attempts WHERE id = $1", attempt)


async def test_the_snapshot_is_what_goes_on(house: House) -> None:
    business = await house.business(max_concurrent_calls=7)
    first = (await house.start(business, ["+972501234567", "+972501234568"])).data["run_id"]
    ended = (await house.start(business, ["+972501234567"])).data["run_id"]
    await house.ask("POST", f"/api/runs/{ended}/stop")
    third = (await house.start(business, ["+972501234567"])).data["run_id"]
    async with listening(house, f"business_id={business}") as (_, snapshot):
        assert snapshot == {
            "runs": [await house.run(third), await house.run(first)],
            "slots": {"active": 0, "limit": 7, "waiting": 3},
        }


async def test_a_client_sees_changes_within_300_ms_of_their_callbacks(house: House) -> None:
    attempts = await house.attempts(5)
    jobs = [await _job_of(house, attempt) for attempt in attempts]
    async with listening(house, f"business_id={jobs[0]['business_id']}") as (listener, _):
        took = []
        for attempt, job in zip(attempts, jobs, strict=True):
            call = sid()
            for number, status, shown in ((0, "initiated", "calling"), (1, "completed", "completed")):
                await house.call_status(attempt, news(call, number, status))
                answered_at = time.monotonic()
                await listener.job(job["job_id"], status=shown, call_sid=call)
                took.append(time.monotonic() - answered_at)
        # The run and the slots go with it.
        run = await listener.until(lambda event: event.name == "run" and event.data["status"] == "completed")
        assert run.data == await house.run(jobs[0]["run_id"])
        await listener.until(lambda event: event.name == "slots" and event.data["active"] == 0)
    # Of ten, as the machine may be busy with something else.
    assert statistics.median(took) < 0.3


async def test_whoever_comes_back_gets_a_fresh_snapshot(house: House) -> None:
    business = await house.business()
    run_id = (await house.start(business, ["+972501234567"])).data["run_id"]
    async with listening(house, f"business_id={business}") as (listener, snapshot):
        assert [run["status"] for run in snapshot["runs"]] == ["pending"]
        last = listener.heard[-1].id
    await house.ask("POST", f"/api/runs/{run_id}/pause")
    async with listening(house, f"business_id={business}", **{"Last-Event-ID": last}) as (listener, snapshot):
        assert [run["status"] for run in snapshot["runs"]] == ["paused"]
        assert listener.heard[0].id != last


async def test_of_one_run_also_when_it_has_ended(house: House) -> None:
    business = await house.business()
    run_id = (await house.start(business, ["+972501234567"])).data["run_id"]
    other = (await house.start(business, ["+972501234567"])).data["run_id"]
    async with listening(house, f"run_id={run_id}") as (listener, snapshot):
        assert [run["run_id"] for run in snapshot["runs"]] == [run_id]
        await house.ask("POST", f"/api/runs/{other}/stop")
        await listener.until(lambda event: event.name == "slots" and event.data["waiting"] == 1)
        await house.ask("POST", f"/api/runs/{run_id}/stop")
        await listener.until(lambda event: event.name == "run" and event.data["status"] == "stopped")
        assert {event.data["run_id"] for event in listener.heard if event.name == "run"} == {run_id}
    async with listening(house, f"run_id={run_id}") as (_, snapshot):
        assert [run["status"] for run in snapshot["runs"]] == ["stopped"]


async def test_nobody_sees_what_is_another_business_s(house: House) -> None:
    mine, theirs = await house.business(), await house.business()
    key = await house.key(mine, "read_only")
    my_run = await add_run(house.pool, mine, 1)
    their_run = await add_run(house.pool, theirs, 1)
    async with listening(house, "", key) as (listener, snapshot):
        assert [run["run_id"] for run in snapshot["runs"]] == [my_run.run_id]
        for run in (their_run, my_run):
            await house.ask("POST", f"/api/runs/{run.run_id}/stop")
        await listener.until(lambda event: event.name == "run" and event.data["status"] == "stopped")
        await listener.until(lambda event: event.name == "slots")
        assert {event.data["run_id"] for event in listener.heard if event.name == "run"} == {my_run.run_id}
    for query, status in ((f"run_id={their_run.run_id}", 403), (f"business_id={theirs}", 403), ("run_id=x", 404)):
        assert (await house.ask("GET", f"/api/events?{query}", key)).status == status
    for query, status in (("", 422), ("business_id=999999", 404), ("run_id=999999", 404)):
        assert (await house.ask("GET", f"/api/events?{query}")).status == status
    assert (await house.ask("GET", "/api/events", None)).status == 401


async def test_what_daemons_do_is_told_too(house: House) -> None:
    """They give no hints of it; a call that is refused between two looks is not overlooked."""
    business = await add_business(house.pool)
    run = await add_run(house.pool, business, 2)
    async with listening(house, f"business_id={business}") as (listener, _):
        worker = await Worker.join(house.pool)
        await worker.claim()
        await listener.until(lambda event: event.name == "run" and event.data["status"] == "running")
        async with house.pool.acquire() as connection, connection.transaction():
            worker.db = connection
            (refused,) = await worker.intend(run.run_id, [1])
            await connection.execute(
                sql.query("refuse_attempt"), refused["attempt_id"], "invalid_number", 21211, "no number"
            )
        await listener.job(run.jobs[0], status="failed", disposition="invalid_number")
        worker.db = house.pool
        await worker.intend(run.run_id, [1])
        await listener.job(run.jobs[1], status="dialing")
        await listener.until(lambda event: event.name == "slots" and event.data["active"] == 1)
        # A beat alone is not worth an event.
        so_far = len(listener.heard)
        await worker.beat()
        await house.ask("POST", f"/api/runs/{run.run_id}/stop")
        await listener.until(lambda event: event.name == "run")
        assert [e.data["status"] for e in listener.heard[so_far:] if e.name == "run"] == ["stopped"]


async def test_another_control_s_changes_are_seen_as_soon(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    one, other = [await (await open_house(database, redis_url)).ready() for _ in range(2)]
    attempts = await one.attempts(5)
    business = (await _job_of(one, attempts[0]))["business_id"]
    async with listening(one, f"business_id={business}") as (listener, _):
        took = []
        for attempt in attempts:
            job = (await _job_of(one, attempt))["job_id"]
            await other.call_status(attempt, news(sid(), 0, "initiated"))
            answered_at = time.monotonic()
            await listener.job(job, status="calling")
            took.append(time.monotonic() - answered_at)
    assert statistics.median(took) < 0.3


async def test_without_redis_changes_are_found(open_house: OpenHouse, database: str) -> None:
    one, other = [await (await open_house(database, "unix:///nowhere/redis.sock")).ready() for _ in range(2)]
    attempts = await one.attempts(2)
    jobs = [await _job_of(one, attempt) for attempt in attempts]
    async with listening(one, f"run_id={jobs[0]['run_id']}") as (listener, _):
        for house, attempt, job in zip((one, other), attempts, jobs, strict=True):
            call = sid()
            await house.call_status(attempt, news(call, 0, "initiated"))
            await listener.job(job["job_id"], status="calling")
            await house.call_status(attempt, news(call, 1, "completed"))
            await listener.job(job["job_id"], status="completed")
        await listener.until(lambda event: event.name == "run" and event.data["status"] == "completed")


async def test_a_revoked_key_s_stream_ends(house: House) -> None:
    business = await house.business()
    key = await house.key(business)
    made = await house.ask("POST", f"/api/businesses/{business}/keys", json={"name": "x", "role": "member"})
    async with (
        listening(house, "", key) as (kept, _),
        listening(house, "", made.data["token"]) as (revoked, _),
    ):
        await house.ask("DELETE", f"/api/keys/{made.data['key_id']}")
        with pytest.raises(EOFError):
            await revoked.until(lambda _: False)
        await house.start(business, ["+972501234567"])
        await kept.until(lambda event: event.name == "run")


async def test_after_the_database_was_away_there_is_a_fresh_snapshot(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    async with gate_before(database) as gate:
        house = await (await open_house(gate.dsn, redis_url)).ready()
        business = await house.business()
        run_id = (await house.start(business, ["+972501234567"])).data["run_id"]
        async with listening(house, f"business_id={business}") as (listener, _):
            with capture_logs() as log:
                await gate.shut()
                await house.pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", run_id)
                await eventually(lambda: any(entry.get("loop") == "watch" for entry in log))
            await gate.open()
            snapshot = await listener.until(lambda event: event.name == "snapshot", within=10)
            assert snapshot.data["runs"] == []


class _Counted(Database):
    """Remembers which statements it was asked."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        self.asked.append(name)
        return await super().rows(name, *arguments, timeout=timeout)


class _Connection(asyncio.Transport):
    """A connection that takes everything."""

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize("listeners", [1, 60])
async def test_the_number_of_statements_is_that_of_one_listener(database: str, pool: Any, listeners: int) -> None:
    """Listeners of three businesses, of all runs or of one, a snapshot and a change for each."""
    runs = [await add_run(pool, await add_business(pool), 2) for _ in range(3)]
    counted = _Counted(database)
    await counted.open()
    watcher = Watcher(counted, show_run=as_shown, show_job=lambda job: {name: job[name] for name in _JOB})
    watching = asyncio.create_task(watcher.run())
    try:
        streams = [
            Stream(run.business_id, run.run_id if number % 2 else None, None, _Connection())
            for number in range(listeners)
            for run in runs
        ]
        for stream in streams:
            watcher.join(stream)
        for kind in ("snapshot", "job"):
            counted.asked.clear()
            for run in runs:
                await pool.execute("UPDATE outbound_call_jobs SET name = $1 WHERE run_id = $2", kind, run.run_id)
                watcher.heard(run.business_id, run.run_id, run.jobs[0])
            for chunk in await asyncio.gather(*(stream.take(5) for stream in streams)):
                assert f"event: {kind}".encode() in chunk
            # One turn's, or two.
            assert {counted.asked.count(name) for name in counted.asked} <= {1, 2}
            assert set(counted.asked) <= _STATEMENTS
    finally:
        await cancelled([watching])
        await counted.close()


async def test_a_stop_with_fifty_open_streams_takes_less_than_two_seconds(database: str, redis_url: str) -> None:
    async with serving(database, redis_url) as (process, url), aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        async with session.post(f"{url}/api/businesses", json={"name": "x"}, headers=headers) as made:
            business = (await made.json())["business_id"]
        address = f"{url}/api/events?business_id={business}"
        streams = await asyncio.gather(*(session.get(address, headers=headers) for _ in range(50)))
        for stream in streams:
            await Listener(stream).next()
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert time.monotonic() - asked_at < 2
        for stream in streams:
            assert await stream.content.read() == b""


async def test_a_silent_stream_says_that_it_lives_and_is_forgotten_when_the_client_leaves(house: House) -> None:
    house.client.app[CONTEXT].patience = Patience(keep_alive_seconds=0.01)
    business = await house.business()
    async with listening(house, f"business_id={business}") as (listener, _):
        assert len(open_streams(house)) == 1
        for _ in range(3):
            await listener.comment()
    await eventually(lambda: not open_streams(house))
