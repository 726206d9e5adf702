"""`dialer status`: an overview, once or again and again, on a terminal and without one."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from typing import Any

import pytest

from tests.cli.control import Control
from tests.cli.listening import Server, lost, ok, problem, run
from tests.cli.running import dialer, line_with, running
from tests.cli.terminal import Terminal
from tests.cli.test_terminal import COLOUR

HEALTH: dict[str, Any] = {
    "status": "ok",
    "checks": {"postgres": "ok", "redis": "ok", "schema": "ok"},
    "daemons": [
        {
            "id": "a5905613-0000-0000-0000-000000000000",
            "host": "tel-aviv",
            "pid": 4309,
            "started_at": "2026-05-01T10:00:00Z",
            "last_seen_at": "2026-05-01T10:00:01Z",
            "runs": 1,
            "live_calls": 2,
            "redis_degraded": True,
        }
    ],
    "oldest_waiting_job_seconds": 7.4,
    "stale_runs": 0,
    "unknown_attempts": 1,
}
DOWN = {**HEALTH, "status": "degraded", "checks": {**HEALTH["checks"], "redis": "away"}, "daemons": []}
EMPTY = ok({"data": [], "next_cursor": None})


@pytest.fixture
def watched(server: Server) -> dict[str, str]:
    """The variables that lead to a server with a business that is at work."""
    server.answer("/api/health", ok(HEALTH))
    server.answer("/api/runs", ok({"data": [run(active_calls=2)], "next_cursor": None}), *[EMPTY] * 2)
    server.answer("/api/outbound_calls/counts", ok({"active": 2, "limit": 3, "waiting": 5}))
    return {"DIALER_URL": server.url, "DIALER_TOKEN": "secret"}


async def test_what_there_is_to_see(server: Server, watched: dict[str, str]) -> None:
    said = await dialer("status", "--business", "4", more=watched)
    assert (said.code, said.err) == (0, "")
    assert "\x1b" not in said.out
    head, daemons, runs = said.out.split("\n\n")
    assert head.splitlines() == [
        "status              ok",
        "calls               2 live of 3, 5 waiting",
        "stale runs          0",
        "unknown attempts    1",
        "oldest waiting job  7 s",
    ]
    assert "2 (without Redis)" in daemons
    assert "tel-aviv" in daemons
    assert "spring" in runs
    asked = {request.path: request.query for request in server.heard}
    assert asked["/api/outbound_calls/counts"] == {"business_id": "4"}


async def test_on_a_real_control_with_and_without_a_business(control: Control) -> None:
    run_id = await control.run()
    operator = await control.json("status")
    assert [one["run_id"] for one in operator["runs"]] == [run_id]
    assert operator["counts"] is None
    key = await control.house.key(1)
    business = json.loads((await control.tell("status", "--json", token=key)).out)
    assert business["counts"] == {"active": 0, "limit": 3, "waiting": 3}
    assert business["health"]["status"] == "ok"
    named = await control.done("status", DIALER_BUSINESS="1")
    assert "0 live of 3, 3 waiting" in named.out
    missing = await control.tell("status", "--business", "9")
    assert (missing.code, "there is no such business" in missing.err) == (1, True)


async def test_without_a_token_there_is_the_health_alone(server: Server) -> None:
    server.answer("/api/health", ok({"status": "ok"}))
    said = await dialer("status", DIALER_URL=server.url)
    assert (said.code, said.out) == (0, "status  ok\n")
    assert "DIALER_TOKEN" in said.err


async def test_what_is_away_is_shown(server: Server, watched: dict[str, str]) -> None:
    server.answer("/api/health", ok(DOWN, 503))
    said = await dialer("status", more=watched)
    assert said.code == 0
    assert said.out.startswith("status              degraded (redis: away)\n")


async def test_a_busy_server_is_asked_again(server: Server, watched: dict[str, str]) -> None:
    server.answer("/api/health", lambda: problem(429, "too fast"), ok(HEALTH))
    said = await dialer("status", more=watched)
    assert (said.code, said.out.splitlines()[0]) == (0, "status              ok")


async def test_a_wrong_token_and_a_silent_server_fail(server: Server, watched: dict[str, str]) -> None:
    server.answer("/api/health", lambda: problem(401, "this token is not known"))
    for more in ([], ["--watch", "1"]):
        said = await dialer("status", *more, more=watched)
        assert (said.code, said.out) == (1, "")
        assert "DIALER_TOKEN" in said.err
    silent = await dialer("status", DIALER_URL="http://127.0.0.1:1")
    assert (silent.code, silent.out, len(silent.err.splitlines())) == (1, "", 1)


@pytest.mark.parametrize("every", ["0", "nan", "inf", "often"])
async def test_what_no_clock_can_wait_for(watched: dict[str, str], every: str) -> None:
    said = await dialer("status", "--watch", every, more=watched)
    assert (said.code, said.out, "Invalid value for '--watch'" in said.err) == (2, "", True)


async def test_watching_without_a_terminal_gives_a_line_for_each_look(
    server: Server, watched: dict[str, str]
) -> None:
    server.answer("/api/health", ok(HEALTH), lost, ok(HEALTH))
    server.answer("/api/runs", *[ok({"data": [run()], "next_cursor": None}), EMPTY, EMPTY] * 2, EMPTY)
    async with running("status", "--watch", "0.2", more=watched) as process:
        first = await line_with(process.stdout, "ok")
        assert first.endswith("  ok; 1 daemon; 1 run: 1 running; 2 live of 3, 5 waiting\n")
        assert "no answer from" in await line_with(process.stdout, "no answer")
        await line_with(process.stdout, "1 running")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_watching_in_json_gives_an_object_a_line(server: Server, watched: dict[str, str]) -> None:
    async with running("status", "--watch", "0.2", "--json", more=watched) as process:
        assert process.stdout is not None
        for expected in (1, 0):
            assert len(json.loads(await process.stdout.readline())["runs"]) == expected
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("colours", [{}, {"NO_COLOR": "1"}])
async def test_watching_on_a_terminal_redraws_and_leaves_it_clean(
    server: Server, watched: dict[str, str], colours: dict[str, str]
) -> None:
    server.answer(
        "/api/health", ok(HEALTH), ok({**HEALTH, "stale_runs": 3}), lost, ok({**HEALTH, "stale_runs": 4})
    )
    with Terminal("status", "--watch", "0.2", **watched, **colours) as terminal:
        await terminal.shows("tel-aviv")
        await terminal.shows("no answer from")
        await terminal.shows("m4\x1b[0m")  # the stale runs: they stand out
        terminal.type("\x03")  # Ctrl-C
        code = await terminal.ended()
    assert code == 0
    drawn, left, behind = terminal.seen.rpartition("\x1b[?1049l")
    assert "\x1b[?1049h" in drawn, "it has a screen of its own"
    assert left, "and leaves it"
    assert "\x1b[?25h" in drawn.rpartition("\x1b[?25l")[2] + behind, "the cursor is there again"
    assert "every 0.2 s" in drawn
    assert "tel-aviv" in behind, "the last look stays"
    assert re.search(r"stale runs\s+4", re.sub(r"\x1b\[[0-9;]*m", "", behind))
    assert "Traceback" not in terminal.seen
    assert bool(COLOUR.search(terminal.seen)) == (not colours)
