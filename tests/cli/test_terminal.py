"""A bar on a terminal, plain lines without one, no colour where none is wanted."""

from __future__ import annotations

import asyncio
import os
import pty
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.cli.listening import Server, ok, run
from tests.cli.running import dialer, running
from tests.cli.terminal import Terminal

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9;]*m")


@pytest_asyncio.fixture
async def followed(server: Server) -> AsyncIterator[Server]:
    """A server with a run that ends after some looks."""
    steps = [ok(run(processed=done, active_calls=2, dispositions={"answered": done})) for done in (0, 2, 5)]
    server.answer("/api/runs/7", *steps, ok(run(status="completed", processed=7, dispositions={"answered": 7})))
    yield server


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: ours, and the program's."""
    ours, programs = pty.openpty()
    yield ours, programs
    os.close(ours)


async def on_terminal(terminal: tuple[int, int], server: Server, **environment: str) -> tuple[str, str]:
    ours, programs = terminal
    async with running(
        "runs", "follow", "7", stderr=programs, DIALER_URL=server.url, TERM="xterm", more=environment
    ) as process:
        os.close(programs)
        assert process.stdout is not None
        shown, out = await asyncio.gather(asyncio.to_thread(_read_all, ours), process.stdout.read())
        assert await process.wait() == 0
    return shown, out.decode()


async def test_a_terminal_gets_a_bar(terminal: tuple[int, int], followed: Server) -> None:
    shown, out = await on_terminal(terminal, followed)
    assert "━" in shown
    assert "7/7" in shown
    assert "\x1b[" in shown
    assert COLOUR.search(shown)
    assert "\x1b" not in out
    assert "━" not in out


async def test_no_color_is_obeyed(terminal: tuple[int, int], followed: Server) -> None:
    shown, _ = await on_terminal(terminal, followed, NO_COLOR="1")
    assert "7/7" in shown
    assert not COLOUR.search(shown)


async def test_without_a_terminal_there_are_plain_lines(followed: Server) -> None:
    # Variables that make some programs draw anyway change nothing: what reads a pipe wants lines.
    said = await dialer("runs", "follow", "7", DIALER_URL=followed.url, FORCE_COLOR="1", TTY_COMPATIBLE="1")
    assert said.code == 0
    assert "\x1b" not in said.err + said.out
    assert "━" not in said.err
    lines = said.err.splitlines()
    assert lines[0] == "run 7 running: 0 of 7 done, 2 live"
    assert lines[-1] == "run 7 completed: 7 of 7 done, 0 live; 7 answered"


async def test_who_stops_following_is_told_that_the_run_goes_on(server: Server) -> None:
    server.answer("/api/runs/7", ok(run(active_calls=2)))
    with Terminal("runs", "follow", "7", DIALER_URL=server.url) as terminal:
        await terminal.shows("2 live")
        # One that draws beside it would be waited for, and Ctrl-C may come with its lock in hand.
        assert terminal.threads in (1, None)
        terminal.type("\x03")  # Ctrl-C
        assert await terminal.ended() == 1
    assert "run 7 goes on" in terminal.seen
    assert "\x1b[?25h" in terminal.seen.partition("2 live")[2]  # the cursor is there again
    assert {request.method for request in server.heard} == {"GET"}


async def test_a_list_on_a_terminal_has_lines_and_stays_in_its_columns(server: Server) -> None:
    runs = [run(n, name="שלום" if n % 2 else "a name") for n in range(1200, 0, -1)]
    server.answer(
        "/api/runs", ok({"data": runs[:700], "next_cursor": "9"}), ok({"data": runs[700:], "next_cursor": None})
    )
    with Terminal("runs", "list", "--all", DIALER_URL=server.url) as terminal:
        assert await terminal.ended() == 0
    heading, line, *rows = re.sub(r"\x1b\[[0-9;]*m", "", terminal.seen).splitlines()
    assert heading.split() == ["run", "name", "status", "done", "live", "created", "outcomes"]
    assert set(line.strip()) == {"─"}
    assert len(rows) == 1200
    assert {row.index("running") for row in rows if "a name" in row} == {heading.index("status")}


def _read_all(terminal: int) -> str:
    content = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # on Linux: the other end is closed
            return content.decode()
        if not chunk:
            return content.decode()
        content += chunk
