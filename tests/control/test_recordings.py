"""Recordings over HTTP: played whole or in part by their own business; a look changes nothing."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.control.house import House, news, sid
from tests.control.recorded import (
    CONTENT,
    all_rows,
    claim,
    fetch,
    give_up,
    recorded_call,
    recorded_calls,
    tell,
    told,
)
from tests.support.waiting import eventually

ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@pytest.fixture
async def house(
    open_house: Callable[..., Awaitable[House]], database: str, redis_url: str, tmp_path: Path
) -> House:
    return await (await open_house(database, redis_url, RECORDINGS_DIR=str(tmp_path))).ready()


async def get(house: House, call: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body of the file."""
    token = {"Authorization": "Bearer operator-token"}
    path = f"/api/recordings/file/{call}"
    async with house.client.request(method, path, headers={**token, **headers}) as response:
        return response.status, response.headers, await response.read()


async def business_of(house: House, call: str) -> int:
    found: int = await house.pool.fetchval("SELECT business_id FROM recording_runs WHERE call_sid = $1", call)
    return found


async def test_a_recording_is_played(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    await fetch(house, tmp_path, one.call)
    status, headers, body = await get(house, one.call)
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Type"] == "audio/mpeg"
    assert headers["Content-Length"] == str(len(CONTENT))
    assert headers["Content-Disposition"] == f'inline; filename="{one.call}.mp3"'
    assert (headers["ETag"], headers["Accept-Ranges"]) == (ETAG, "bytes")
    # By its own business too, and by a key that may only read.
    key = await house.key(await business_of(house, one.call), "read_only")
    path = f"/api/recordings/file/{one.call}"
    async with house.client.get(path, headers={"Authorization": f"Bearer {key}"}) as response:
        assert await response.read() == CONTENT


async def test_head_tells_what_get_would(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    assert (await get(house, one.call, "HEAD"))[0] == 202
    await fetch(house, tmp_path, one.call)
    status, headers, body = await get(house, one.call, "HEAD", Range="bytes=5-6")
    assert (status, body) == (200, b"")
    _, would, _ = await get(house, one.call)
    for name in ("Content-Type", "Content-Length", "Content-Disposition", "ETag", "Accept-Ranges"):
        assert headers[name] == would[name]
    assert (await get(house, sid(), "HEAD"))[0] == 404


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-9", (0, 10)), ("bytes=10000-", (10_000, 10_240)), ("bytes=-7", (10_233, 10_240))],
)
async def test_a_part_of_it(house: House, tmp_path: Path, asked: str, expected: tuple[int, int]) -> None:
    one = await recorded_call(house)
    await fetch(house, tmp_path, one.call)
    status, headers, body = await get(house, one.call, Range=asked)
    start, end = expected
    assert (status, body) == (206, CONTENT[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert headers["Content-Length"] == str(end - start)
    assert headers["ETag"] == ETAG


async def test_a_part_beyond_the_end(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    await fetch(house, tmp_path, one.call)
    status, headers, body = await get(house, one.call, Range=f"bytes={len(CONTENT)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")
    assert b"range_not_satisfiable" in body


async def test_conditions(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    await fetch(house, tmp_path, one.call)
    status, headers, body = await get(house, one.call, **{"If-None-Match": ETAG})
    assert (status, headers["ETag"], body) == (304, ETAG, b"")
    assert (await get(house, one.call, **{"If-None-Match": '"other"'}))[0] == 200
    same = await get(house, one.call, **{"Range": "bytes=3-", "If-Range": ETAG})
    other = await get(house, one.call, **{"Range": "bytes=3-", "If-Range": '"other"'})
    several = await get(house, one.call, Range="bytes=0-1,4-5")
    assert [(status, len(body)) for status, _, body in (same, other, several)] == [
        (206, len(CONTENT) - 3),
        (200, len(CONTENT)),
        (200, len(CONTENT)),
    ]


async def test_on_its_way(house: House, tmp_path: Path) -> None:
    """From the call on, callback or not: queued, put off, being fetched."""
    (attempt,) = await house.attempts(record=True)
    call = sid()
    for what in (news(call, 2, "in-progress"), news(call, 3, "completed"), told(call)):
        await tell(house, attempt, what)
        status, headers, _ = await get(house, call)
        assert (status, headers["Retry-After"]) == (202, "2"), what
    await house.pool.execute("UPDATE recording_runs SET not_before = now() + interval '20 seconds'")
    assert 15 <= int((await get(house, call))[1]["Retry-After"]) <= 20
    await house.pool.execute("UPDATE recording_runs SET not_before = now() + interval '2 hours'")
    assert (await get(house, call))[1]["Retry-After"] == "60"
    await house.pool.execute("UPDATE recording_runs SET not_before = NULL")
    await claim(house, call)
    assert (await get(house, call))[0] == 202


async def test_why_there_is_none(house: House, tmp_path: Path) -> None:
    absent, failed, old, lost, cut, unwanted = await recorded_calls(house, 6)
    (unrecorded,) = await house.attempts()
    unrecorded_call = sid()
    await tell(house, unrecorded, news(unrecorded_call, 3, "completed"))
    await house.pool.execute("UPDATE recording_runs SET status = 'cancelled' WHERE call_sid = $1", unwanted.call)
    for one in (old, lost, cut):
        path = await fetch(house, tmp_path, one.call)
        # What claim took along with it goes back.
        await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
        if one is lost:
            path.unlink()
        elif one is cut:
            path.write_bytes(CONTENT[:-1])
    await give_up(house, failed.call)
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
    await give_up(house, absent.call, "absent", "the carrier made no recording of this call")
    await house.pool.execute(
        """UPDATE recording_runs SET deleted_at = now(), file_name = NULL, bytes = NULL, sha256 = NULL,
           content_type = NULL WHERE call_sid = $1""",
        old.call,
    )
    expected = {
        absent.call: "recording_absent",
        failed.call: "recording_failed",
        unwanted.call: "recording_cancelled",
        old.call: "recording_deleted",
        lost.call: "recording_missing",
        cut.call: "recording_missing",
        unrecorded_call: "not_found",
        sid(): "not_found",
        "CA..": "not_found",
        "CA%2F..%2F..%2Fetc%2Fpasswd": "not_found",
        "CA%00": "not_found",
        "RE" + "0" * 32: "not_found",
    }
    for call, code in expected.items():
        answer = await house.ask("GET", f"/api/recordings/file/{call}")
        assert (answer.status, answer.data["code"]) == (404, code), call


async def test_nobody_elses(house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, failed = await recorded_calls(house, 2)
    await fetch(house, tmp_path, there.call)
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
    await give_up(house, failed.call)
    stranger = await house.business()
    key = await house.key(stranger)
    run_id = await house.pool.fetchval("SELECT run_id FROM recording_runs LIMIT 1")
    before = await all_rows(house)
    for method, path in (
        ("GET", f"/api/recordings/file/{there.call}"),
        ("HEAD", f"/api/recordings/file/{there.call}"),
        ("GET", f"/api/recordings/file/{failed.call}"),
        ("POST", f"/api/recordings/{failed.call}/retry"),
        ("GET", f"/api/recordings?run_id={run_id}"),
        ("GET", f"/api/recordings?business_id={await business_of(house, there.call)}"),
    ):
        assert (await house.ask(method, path, key)).status == 403, path
        assert "SECURITY" in capsys.readouterr().out
        assert (await house.ask(method, path, None)).status == 401, path
        assert (await house.ask(method, path, "no such token")).status == 401, path
    assert (await house.ask("GET", "/api/recordings", key)).data == {"data": [], "next_cursor": None}
    # The operator who acts for a business sees what it sees.
    named = await house.ask("GET", f"/api/recordings/file/{there.call}?business_id={stranger}")
    assert named.status == 404
    reader = await house.key(await business_of(house, failed.call), "read_only")
    assert (await house.ask("POST", f"/api/recordings/{failed.call}/retry", reader)).status == 403
    assert await all_rows(house) == before


async def test_a_look_changes_nothing(house: House, tmp_path: Path) -> None:
    waiting, failed, there = await recorded_calls(house, 3)
    await fetch(house, tmp_path, there.call)
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
    await give_up(house, failed.call)
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")
    before = await all_rows(house)
    for one in (waiting, failed, there):
        for method in ("GET", "HEAD"):
            await get(house, one.call, method)
            await get(house, sid(), method)
    await house.ask("GET", "/api/recordings")
    assert await all_rows(house) == before


async def test_a_stream_that_breaks_off_is_seen_to_be_cut(house: House, tmp_path: Path) -> None:
    """Whoever reads it must not take half for the whole."""
    one = await recorded_call(house)
    content = os.urandom(64 * 1024 * 1024)
    path = await fetch(house, tmp_path, one.call, content)
    token = {"Authorization": "Bearer operator-token"}
    async with house.client.get(f"/api/recordings/file/{one.call}", headers=token) as response:
        assert response.status == 200
        os.truncate(path, len(content) // 2)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await house.ask("GET", "/api/recordings")).status == 200


async def test_who_leaves_early_leaves_no_file_open(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    path = await fetch(house, tmp_path, one.call, os.urandom(16 * 1024 * 1024))

    def is_open() -> bool:
        return any(os.path.realpath(fd) == str(path) for fd in Path("/proc/self/fd").iterdir())

    token = {"Authorization": "Bearer operator-token"}
    async with house.client.get(f"/api/recordings/file/{one.call}", headers=token) as response:
        await response.content.readexactly(100)
        assert is_open()
        response.close()
    await eventually(lambda: not is_open(), description="the file is closed")


async def test_many_at_once(house: House, tmp_path: Path) -> None:
    one = await recorded_call(house)
    await fetch(house, tmp_path, one.call)
    answers = await asyncio.gather(*(get(house, one.call) for _ in range(40)))
    assert {(status, body) for status, _, body in answers} == {(200, CONTENT)}
