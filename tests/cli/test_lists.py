"""Lists: page by page, as they come, to whoever reads, for as long as anybody does."""

from __future__ import annotations

import itertools
import json

from aiohttp import web

from tests.cli.control import Control, rows
from tests.cli.listening import Server, ok, problem, run
from tests.cli.running import dialer, running

URL = "/api/runs"


def endless(server: Server) -> None:
    """A list that never ends."""
    numbers = itertools.count(1)

    def page() -> web.Response:
        runs = [run(next(numbers), name="x" * 100) for _ in range(500)]
        return web.json_response({"data": runs, "next_cursor": str(runs[-1]["run_id"])})

    server.answer(URL, page)


async def test_all_pages_are_read_and_each_follows_the_one_before(control: Control) -> None:
    ids = [await control.run(calls=1) for _ in range(4)]
    newest = [str(run_id) for run_id in reversed(ids)]
    first = await control.done("runs", "list", "--limit", "3")
    assert [row[0] for row in rows(first)] == newest[:3]
    assert "there are more" in first.err
    whole = await control.done("runs", "list", "--all")
    assert ([row[0] for row in rows(whole)], whole.err) == (newest, "")
    exact = await control.done("runs", "list", "--limit", "4")
    assert (len(rows(exact)), exact.err) == (4, "")


async def test_a_list_in_json_is_one_array_with_an_item_a_line(control: Control) -> None:
    assert await control.json("runs", "list") == []
    ids = [await control.run(calls=1) for _ in range(2)]
    said = await control.done("runs", "list", "--json")
    assert [item["run_id"] for item in json.loads(said.out)] == ids[::-1]
    assert [json.loads(line.strip(","))["run_id"] for line in said.out.splitlines()[1:-1]] == ids[::-1]


async def test_more_than_a_page_holds_is_asked_for_in_several(server: Server) -> None:
    pages = [[run(n) for n in range(500)], [run(n) for n in range(200)]]
    server.answer(URL, *(ok({"data": page, "next_cursor": str(n)}) for n, page in enumerate(pages, 1)))
    said = await dialer("runs", "list", "--limit", "700", "--status", "paused", DIALER_URL=server.url)
    assert said.code == 0
    assert len(said.out.splitlines()) == 701
    assert [request.query for request in server.heard] == [
        {"limit": "500", "status": "paused"},
        {"limit": "200", "status": "paused", "cursor": "1"},
    ]


async def test_a_list_that_never_ends_is_shown_as_it_comes_until_nobody_reads(server: Server) -> None:
    endless(server)
    for more in ([], ["--json"]):
        async with running("runs", "list", "--all", *more, DIALER_URL=server.url) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for _ in range(1200):
                assert await process.stdout.readline()
            process.stdout._transport.close()  # type: ignore[attr-defined]  # as `head` does
            assert await process.wait() == 1
            assert await process.stderr.read() == b""


async def test_an_array_that_broke_off_is_no_json(server: Server) -> None:
    server.answer(URL, ok({"data": [run(2)], "next_cursor": "2"}), lambda: problem(500, "broken"))
    said = await dialer("runs", "list", "--all", "--json", DIALER_URL=server.url)
    assert said.code == 1
    assert "broken" in said.err
    assert said.out.startswith("[\n{")
    assert not said.out.rstrip().endswith("]")


async def test_columns_stay_where_they_are_on_a_long_list(server: Server) -> None:
    page = [run(n, name="a name") for n in range(1200, 0, -1)]
    server.answer(URL, ok({"data": page[:700], "next_cursor": "9"}), ok({"data": page[700:], "next_cursor": None}))
    said = await dialer("runs", "list", "--all", DIALER_URL=server.url)
    assert len(said.out.splitlines()) == 1201
    assert len({line.index("a name") for line in said.out.splitlines()[1:]}) == 1
