"""Recordings as they are listed, and asked for again when they failed."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from control.context import CONTEXT
from tests.control.house import House, sid
from tests.control.recorded import CONTENT, all_rows, claim, fetch, give_up, recorded_call, recorded_calls

SHAPE = (
    *("call_sid", "recording_sid", "job_id", "status", "bytes", "duration_seconds", "sha256", "error_message"),
    *("created_at", "completed_at"),
)


@pytest.fixture
async def house(
    open_house: Callable[..., Awaitable[House]], database: str, redis_url: str, tmp_path: Path
) -> House:
    return await (await open_house(database, redis_url, RECORDINGS_DIR=str(tmp_path))).ready()


async def test_the_list(house: House, tmp_path: Path) -> None:
    waiting, failed, there = await recorded_calls(house, 3)
    await fetch(house, tmp_path, there.call)
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
    await give_up(house, failed.call)
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
    other = await recorded_call(house)
    run_id, business_id = await house.pool.fetchrow(
        "SELECT run_id, business_id FROM recording_runs WHERE call_sid = $1", there.call
    )
    listed = (await house.ask("GET", f"/api/recordings?run_id={run_id}")).data["data"]
    assert [one["call_sid"] for one in listed] == [there.call, failed.call, waiting.call]
    assert {tuple(one) for one in listed} == {SHAPE}
    shown, why, _ = listed
    assert (shown["status"], shown["bytes"], shown["sha256"]) == (
        "completed",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    assert (shown["recording_sid"], shown["duration_seconds"], shown["error_message"]) == (
        there.recording,
        7,
        None,
    )
    assert shown["completed_at"] > shown["created_at"]
    assert (why["status"], why["error_message"]) == ("failed", "the carrier refuses it")

    async def calls(query: str) -> list[str]:
        return [one["call_sid"] for one in (await house.ask("GET", f"/api/recordings?{query}")).data["data"]]

    assert await calls("") == [other.call, there.call, failed.call, waiting.call]
    assert await calls(f"business_id={business_id}") == [there.call, failed.call, waiting.call]
    assert await calls("status=queued") == [other.call, waiting.call]
    assert await calls(f"status=failed&run_id={run_id}") == [failed.call]
    first = (await house.ask("GET", f"/api/recordings?run_id={run_id}&limit=2")).data
    rest = await calls(f"run_id={run_id}&limit=2&cursor={first['next_cursor']}")
    assert rest == [waiting.call]
    assert (await house.ask("GET", "/api/recordings?run_id=999999")).status == 404
    wrong = await house.ask("GET", "/api/recordings?status=nonsense&limit=0&cursor=x")
    assert {fault["pointer"] for fault in wrong.data["errors"]} == {"/status", "/limit", "/cursor"}


async def test_a_failed_one_is_asked_for_again_once(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    await give_up(house, one.call)
    path = f"/api/recordings/{one.call}/retry"
    key = await house.key(await house.pool.fetchval("SELECT business_id FROM recording_runs"))
    answers = await asyncio.gather(*(house.ask("POST", path, key, json={"reason": "please"}) for _ in range(5)))
    assert {(answer.status, answer.data["status"]) for answer in answers} == {(200, "queued")}
    row = await house.pool.fetchrow("SELECT status, retry_count, error_code, error_message FROM recording_runs")
    assert tuple(row) == ("queued", 0, None, None)
    audited = await house.pool.fetch("SELECT * FROM audit_log WHERE action = 'retry_recording'")
    assert [(a["reason"], a["actor"].startswith("key:"), one.call in a["details"]) for a in audited] == [
        ("please", True, True)
    ]
    assert (await house.ask("GET", f"/api/recordings/file/{one.call}")).status == 202
    # While it is being fetched nothing is disturbed.
    await claim(house, one.call)
    before = await all_rows(house)
    assert (await house.ask("POST", path)).data["status"] == "running"
    assert await all_rows(house) == before


async def test_what_is_there_is_not_fetched_again(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    await fetch(house, tmp_path, one.call)
    before = await all_rows(house)
    answer = await house.ask("POST", f"/api/recordings/{one.call}/retry")
    assert (answer.status, answer.data["code"]) == (409, "recording_completed")
    for unknown in (sid(), "CA..%2F", "x"):
        assert (await house.ask("POST", f"/api/recordings/{unknown}/retry")).status == 404
    assert (await house.ask("POST", f"/api/recordings/{one.call}/retry", json={"reason": 5})).status == 422
    assert await all_rows(house) == before


async def test_a_page_is_as_many_queries_whatever_its_size(house: House) -> None:
    await recorded_calls(house, 12)
    run_id = await house.pool.fetchval("SELECT run_id FROM recording_runs LIMIT 1")
    asked: list[str] = []

    def note(record: Any) -> None:
        asked.append(record.query)

    async with house.client.app[CONTEXT].database.connection() as connection:
        connection.add_query_logger(note)
    # The page's own, and before it whose the run is.
    for path, queries in ((f"/api/recordings?run_id={run_id}", 2), ("/api/recordings?business_id=1", 1)):
        for limit in (1, 12):
            asked.clear()
            answer = await house.ask("GET", f"{path}&limit={limit}")
            assert answer.status == 200, answer.text
            assert len(answer.data["data"]) == limit
            assert len(asked) == queries, asked
