"""`dialer recordings`: what there is, and having it as files: whole or not at all, each byte once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from control.app import build
from tests.cli.control import Control, rows
from tests.cli.listening import Reply, Server, ok, problem
from tests.cli.running import dialer, running
from tests.control.house import House, settings_for, sid
from tests.control.recorded import CONTENT, fetch, give_up, recorded_call, recorded_calls
from tests.support.proxy import Proxy, proxy_before
from tests.support.waiting import eventually

LARGE = os.urandom(4 * 1024 * 1024)
CALL = "CA0123456789abcdef"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Where control has its recordings."""
    return tmp_path / "shelf"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the commands put them."""
    return tmp_path / "here"


@pytest_asyncio.fixture
async def control(database: str, redis_url: str, pool: Any, aiohttp_client: AiohttpClient, shelf: Path) -> Control:
    client = await aiohttp_client(build(settings_for(database, redis_url, RECORDINGS_DIR=str(shelf))))
    return Control(await House(client, pool).ready(), str(client.make_url("")).rstrip("/"))


@pytest_asyncio.fixture
async def slow(control: Control) -> AsyncIterator[Proxy]:
    """A way to control on which a large recording takes a second."""
    async with proxy_before(control.url) as proxy:
        proxy.delay(0.01)
        yield proxy


def files(directory: Path) -> dict[str, bytes] | None:
    """What is in it; None when it is not there."""
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else None


def is_large(directory: Path, call: str) -> bool:
    """Whether the large recording, whole, is all there is. (As an assertion's message it would be too long.)"""
    return files(directory) == {f"{call}.mp3": LARGE}


def size_of_part(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.part"))


async def requeue(house: House) -> None:
    await house.pool.execute("UPDATE recording_runs SET status = 'queued' WHERE status = 'running'")


async def test_the_list(control: Control, shelf: Path) -> None:
    house = control.house
    waiting, failed, there = await recorded_calls(house, 3)
    await fetch(house, shelf, there.call)
    await requeue(house)
    await give_up(house, failed.call)
    await requeue(house)
    table = await control.done("recordings", "list", "--run", "1")
    assert table.out.splitlines()[0].split() == ["call", "job", "status", "bytes", "seconds", "created", "error"]
    assert [row[0] for row in rows(table)] == [there.call, failed.call, waiting.call]
    assert str(len(CONTENT)) in rows(table)[0][3]
    assert "the carrier refuses it" in rows(table)[1][-1]
    [shown] = await control.json("recordings", "list", "--status", "completed")
    assert (shown["call_sid"], shown["sha256"]) == (there.call, sha256(CONTENT))
    assert (await control.done("recordings", "list", "--run", "1", "--status", "cancelled")).out.count("\n") <= 1


async def test_one_is_downloaded_once(control: Control, shelf: Path, here: Path) -> None:
    one = await recorded_call(control.house)
    await fetch(control.house, shelf, one.call)
    said = await control.done("recordings", "download", one.call, "-o", str(here))
    file = here / f"{one.call}.mp3"
    assert said.out == f"{file}\n"
    assert file.read_bytes() == CONTENT
    assert files(here) == {file.name: CONTENT}
    before = file.stat()
    again = await control.done("recordings", "download", one.call, "-o", str(here))
    assert again.out == f"{file}\n"
    assert "here already" in again.err
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    # What somebody has spoiled meanwhile is not what it was.
    file.write_bytes(CONTENT[:-1])
    await control.done("recordings", "download", one.call, "-o", str(here))
    assert file.read_bytes() == CONTENT


async def test_those_of_a_run(control: Control, shelf: Path, here: Path) -> None:
    house = control.house
    waiting, failed, old, there, other = await recorded_calls(house, 5)
    for one in (old, there, other):
        await fetch(house, shelf, one.call, CONTENT + one.call.encode())
        await requeue(house)
    await house.pool.execute(
        """UPDATE recording_runs SET deleted_at = now(), file_name = NULL, bytes = NULL, sha256 = NULL,
           content_type = NULL WHERE call_sid = $1""",
        old.call,
    )
    await give_up(house, failed.call)
    await requeue(house)
    first = await control.tell("recordings", "download", "--run", "1", "-o", str(here))
    assert first.code == 1
    assert {Path(line).name for line in first.out.splitlines()} == {f"{one.call}.mp3" for one in (there, other)}
    assert "1 deleted, being too old, 2 downloaded, 1 never made or failed, 1 on their way" in first.err
    assert f"{failed.call}: there is none (the carrier refuses it)" in first.err
    await fetch(house, shelf, waiting.call)
    second = await control.done("recordings", "download", "--run", "1", "-o", str(here))
    assert "1 downloaded, 2 here already" in second.err
    assert files(here) == {
        f"{waiting.call}.mp3": CONTENT,
        f"{there.call}.mp3": CONTENT + there.call.encode(),
        f"{other.call}.mp3": CONTENT + other.call.encode(),
    }


async def test_what_cannot_be_had(control: Control, here: Path) -> None:
    one = await recorded_call(control.house)
    soon = await control.tell("recordings", "download", one.call, "-o", str(here))
    assert (soon.code, soon.out) == (1, "")
    assert "on its way" in soon.err
    stranger = await control.house.key(await control.house.business())
    for token, call, why in ((stranger, one.call, "not_yours"), ("operator-token", sid(), "404")):
        said = await control.tell("recordings", "download", call, "-o", str(here), token=token)
        assert (said.code, said.out) == (1, "")
        assert why in said.err
    assert files(here) == {}


async def test_a_connection_that_breaks_is_gone_on_with(
    control: Control, slow: Proxy, shelf: Path, here: Path
) -> None:
    one = await recorded_call(control.house)
    await fetch(control.house, shelf, one.call, LARGE)
    command = ("recordings", "download", one.call, "-o", str(here))
    asked = asyncio.create_task(control.tell(*command, DIALER_URL=slow.url))
    sizes = [0, 0]
    for number in range(2):
        sizes[number] = await eventually(lambda: (size := size_of_part(here)) > sizes[0] and size, timeout=20)
        slow.cut()
    said = await asked
    assert (said.code, said.out) == (0, f"{here / one.call}.mp3\n"), said.err
    assert "going on with it" in said.err
    assert is_large(here, one.call)


async def test_a_killed_command_leaves_a_part_that_the_next_goes_on_with(
    control: Control, slow: Proxy, shelf: Path, here: Path
) -> None:
    one = await recorded_call(control.house)
    await fetch(control.house, shelf, one.call, LARGE)
    variables = {"DIALER_URL": slow.url, "DIALER_TOKEN": "operator-token"}
    async with running("recordings", "download", one.call, "-o", str(here), more=variables) as process:
        await eventually(lambda: size_of_part(here), timeout=20)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    [(name, part)] = (files(here) or {}).items()
    assert name == f"{one.call}.mp3.{sha256(LARGE)}.part"
    assert 0 < len(part) < len(LARGE)
    await control.done("recordings", "download", one.call, "-o", str(here))
    assert is_large(here, one.call)


async def test_two_commands_at_once_spoil_nothing(control: Control, slow: Proxy, shelf: Path, here: Path) -> None:
    one = await recorded_call(control.house)
    await fetch(control.house, shelf, one.call, LARGE)
    command = ("recordings", "download", one.call, "-o", str(here))
    first = asyncio.create_task(control.tell(*command, DIALER_URL=slow.url))
    await eventually(lambda: size_of_part(here), timeout=20)
    slow.freeze()
    second = await control.tell(*command)
    assert second.code == 1
    assert "another command is at work" in second.err
    await slow.pass_all()
    assert (await first).code == 0
    assert is_large(here, one.call)


def sound(content: bytes, status: int = 200, etag: str | None = None) -> Callable[[], Reply]:
    headers = {"ETag": f'"{etag or sha256(content)}"'}
    return lambda: web.Response(body=content, status=status, headers=headers, content_type="audio/mpeg")


async def download(server: Server, here: Path) -> tuple[int, str, str]:
    said = await dialer("recordings", "download", CALL, "-o", str(here), DIALER_URL=server.url, DIALER_TOKEN="x")
    return said.code, said.out, said.err


def leave_part(here: Path, content: bytes, of: bytes) -> Path:
    here.mkdir()
    path = here / f"{CALL}.mp3.{sha256(of)}.part"
    path.write_bytes(content)
    return path


async def test_only_what_is_missing_is_asked_for(server: Server, here: Path) -> None:
    leave_part(here, CONTENT[:100], of=CONTENT)
    server.answer(f"/api/recordings/file/{CALL}", sound(CONTENT[100:], 206, sha256(CONTENT)))
    assert (await download(server, here))[0] == 0
    [request] = server.heard
    assert (request.headers["Range"], request.headers["If-Range"]) == ("bytes=100-", f'"{sha256(CONTENT)}"')
    assert (here / f"{CALL}.mp3").read_bytes() == CONTENT


async def test_a_part_of_what_was_there_before_is_of_no_use(server: Server, here: Path) -> None:
    leave_part(here, b"old", of=b"old and more")
    server.answer(f"/api/recordings/file/{CALL}", sound(CONTENT))
    assert (await download(server, here))[0] == 0
    assert files(here) == {f"{CALL}.mp3": CONTENT}


async def test_a_part_that_is_whole_only_wants_its_name(server: Server, here: Path) -> None:
    leave_part(here, CONTENT, of=CONTENT)
    assert (await download(server, here))[0] == 0
    assert server.heard == []
    assert files(here) == {f"{CALL}.mp3": CONTENT}


async def test_a_part_that_is_too_long_is_begun_again(server: Server, here: Path) -> None:
    leave_part(here, CONTENT + b"more", of=CONTENT)
    path = f"/api/recordings/file/{CALL}"
    server.answer(path, lambda: problem(416, "the file ends before that"), sound(CONTENT))
    assert (await download(server, here))[0] == 0
    assert files(here) == {f"{CALL}.mp3": CONTENT}


async def test_what_came_damaged_gets_no_name(server: Server, here: Path) -> None:
    server.answer(f"/api/recordings/file/{CALL}", sound(CONTENT[:-1] + b"x", etag=sha256(CONTENT)))
    code, out, err = await download(server, here)
    assert (code, out) == (1, "")
    assert "damaged" in err
    assert files(here) == {}


async def test_a_server_that_is_busy_is_asked_again(server: Server, here: Path) -> None:
    server.answer(f"/api/recordings/file/{CALL}", lambda: problem(503, "away"), sound(CONTENT))
    assert (await download(server, here))[0] == 0
    assert (here / f"{CALL}.mp3").read_bytes() == CONTENT


@pytest.mark.parametrize("answer", [ok({"hello": "world"}), lambda: web.Response(text="hello")])
async def test_a_stranger_that_answers_is_recognised(
    server: Server, here: Path, answer: Callable[[], Reply]
) -> None:
    server.answer(f"/api/recordings/file/{CALL}", answer)
    code, out, err = await download(server, here)
    assert (code, out) == (1, "")
    assert "DIALER_URL" in err
    assert files(here) == {}


async def test_a_list_cannot_write_where_it_likes(server: Server, here: Path) -> None:
    item = {"status": "completed", "sha256": sha256(CONTENT), "error_message": None}
    names = ["../evil", "CA/../../evil", "/tmp/evil", "CA.mp3", ""]
    items = [{**item, "call_sid": name} for name in names]
    server.answer("/api/recordings", ok({"data": items, "next_cursor": None}))
    said = await dialer("recordings", "download", "--run", "7", "-o", str(here), DIALER_URL=server.url)
    assert said.out == ""
    assert [request.path for request in server.heard] == ["/api/recordings"]
    assert files(here) == {}


@pytest.mark.parametrize("arguments", [[], [CALL, "--run", "7"], ["../CA1"], ["x"], ["--run", "0"]])
async def test_bad_usage(arguments: list[str], here: Path) -> None:
    said = await dialer("recordings", "download", *arguments, "-o", str(here), DIALER_URL="http://127.0.0.1:1")
    assert (said.code, said.out) == (2, "")
    assert files(here) is None
