"""`dialer runs export`: a report that is whole or not there."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cli.control import Control
from tests.cli.listening import Server, problem
from tests.cli.running import dialer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n"
BROKEN_OFF = {
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nphone\r\n",
    "sized": HEAD + b"Content-Length: 100\r\n\r\nphone",
}


def files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


@pytest_asyncio.fixture(params=list(BROKEN_OFF))
async def breaking(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a server whose answers break off."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(BROKEN_OFF[request.param])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())


async def test_the_report_goes_to_stdout_or_to_a_file(control: Control, tmp_path: Path) -> None:
    run_id = str(await control.run())
    out = (await control.done("runs", "export", run_id)).out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["phone"] for row in rows] == ["+972501234500", "+972501234501", "+972501234502"]
    target = tmp_path / "spring.csv"
    said = await control.done("runs", "export", run_id, "-o", str(target))
    assert said.out == ""
    assert target.read_text(encoding="utf-8").splitlines() == out.splitlines()
    assert files(tmp_path) == [target]
    for_excel = (await control.done("runs", "export", run_id, "--excel")).out
    assert for_excel == "\ufeff" + out


async def test_a_file_that_is_there_is_written_over_on_demand_only(control: Control, tmp_path: Path) -> None:
    run_id = str(await control.run(calls=1))
    target = tmp_path / "spring.csv"
    target.write_text("precious")
    refused = await control.tell("runs", "export", run_id, "-o", str(target))
    assert (refused.code, refused.out, target.read_text()) == (2, "", "precious")
    assert "--force" in refused.err
    await control.done("runs", "export", run_id, "-o", str(target), "--force")
    assert "+972501234500" in target.read_text()


async def test_a_report_that_breaks_off_leaves_nothing_and_spoils_nothing(breaking: str, tmp_path: Path) -> None:
    target = tmp_path / "spring.csv"
    for before in ([], [target]):
        for path in before:
            path.write_text("precious")
        said = await dialer("runs", "export", "7", "-o", str(target), "--force", DIALER_URL=breaking)
        assert (said.code, said.out) == (1, "")
        assert len(said.err.splitlines()) == 1
        assert files(tmp_path) == before
    assert target.read_text() == "precious"


async def test_on_stdout_it_fails_too(breaking: str) -> None:
    said = await dialer("runs", "export", "7", DIALER_URL=breaking)
    assert (said.code, said.out) == (1, "phone")


@pytest.mark.parametrize("where", ["no-such-directory/spring.csv", "."])
async def test_a_place_that_cannot_be_is_told_before_anything_is_asked(
    server: Server, tmp_path: Path, where: str
) -> None:
    said = await dialer("runs", "export", "7", "-o", str(tmp_path / where), DIALER_URL=server.url)
    assert (said.code, said.out) == (2, "")
    assert server.heard == []


async def test_what_is_refused_makes_no_file(server: Server, tmp_path: Path) -> None:
    server.answer("/api/runs/7/report.csv", lambda: problem(404, "there is no such run"))
    said = await dialer("runs", "export", "7", "-o", str(tmp_path / "x.csv"), DIALER_URL=server.url)
    assert (said.code, said.err) == (1, "Error: there is no such run (404)\n")
    assert files(tmp_path) == []
