"""What is asked again when the server is busy, for how long, and what the user is told."""

from __future__ import annotations

import pytest
from aiohttp import web

from tests.cli.listening import Server, lost, ok, problem, run
from tests.cli.running import dialer

SHOWN = ok(run())


def busy(status: int, retry_after: str) -> web.Response:
    answer = problem(status, "busy")
    answer.headers["Retry-After"] = retry_after
    return answer


@pytest.mark.parametrize("status", [429, 503])
async def test_who_reads_waits_as_long_as_asked_and_reads_again(server: Server, status: int) -> None:
    server.answer("/api/runs/7", lambda: busy(status, "0.3"), SHOWN)
    said = await dialer("runs", "show", "7", DIALER_URL=server.url)
    assert said.code == 0
    assert said.err == f"the server is busy ({status}): asking again in 0.3 s\n"
    assert len(server.heard) == 2


async def test_not_for_ever(server: Server) -> None:
    server.answer("/api/runs/7", lambda: busy(429, "0"))
    said = await dialer("runs", "show", "7", DIALER_URL=server.url)
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[-1] == "Error: busy (429)"
    assert len(server.heard) == 4


async def test_a_long_wait_is_told_instead_of_waited(server: Server) -> None:
    server.answer("/api/runs/7", lambda: busy(429, "3600"), SHOWN)
    said = await dialer("runs", "show", "7", DIALER_URL=server.url)
    assert (said.code, said.out) == (1, "")
    assert said.err == "Error: busy (429); it asks to try again in 3600 s\n"
    assert len(server.heard) == 1


@pytest.mark.parametrize("reply", [lost, lambda: problem(500, "broken"), lambda: problem(404, "no such run")])
async def test_what_waiting_does_not_mend_is_not_asked_again(server: Server, reply: object) -> None:
    server.answer("/api/runs/7", reply, SHOWN)  # type: ignore[arg-type]  # a reply, chosen by the test
    said = await dialer("runs", "show", "7", DIALER_URL=server.url)
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 1
    assert len(server.heard) == 1


async def test_a_fault_of_the_server_names_the_request_for_its_log(server: Server) -> None:
    def broken() -> web.Response:
        answer = problem(500, "something went wrong here", code="internal_error")
        answer.headers["X-Request-Id"] = "abc-1"
        return answer

    server.answer("/api/runs/7", broken)
    said = await dialer("runs", "show", "7", DIALER_URL=server.url)
    assert said.err == "Error: something went wrong here (500 internal_error); the request id is abc-1\n"
