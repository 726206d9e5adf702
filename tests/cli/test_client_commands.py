"""The commands that talk to control, as processes, against a server that answers as the test wants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.listening import Server, lost, ok, problem, run
from tests.cli.running import dialer

LEADS = "phone,name\n+12025550110,Dana\nnonsense,Noam\n\n+12025550110,Dana\n"
STARTED = {
    "run_id": 7,
    "status": "pending",
    "queued": 1,
    "rejected": [{"index": 1, "code": "invalid_phone"}],
    "duplicates": 1,
}


@pytest.fixture
def leads(tmp_path: Path) -> str:
    path = tmp_path / "spring.csv"
    path.write_bytes(b"\xef\xbb\xbf" + LEADS.encode())
    return str(path)


async def start(server: Server, leads: str, *more: str) -> tuple[int, str, str]:
    said = await dialer(
        "start", leads, "--url", "https://example.com/x", *more, DIALER_URL=server.url, DIALER_TOKEN="secret"
    )
    return said.code, said.out, said.err


async def test_start_sends_the_list_as_it_is_and_its_settings_in_the_url(server: Server, leads: str) -> None:
    server.answer("/api/runs", ok(STARTED, 201))
    code, out, err = await start(
        server, leads, "--from", "+12025550100", "--concurrency", "2", "--business", "4", "--name", "a & b"
    )
    assert (code, out) == (0, "run 7 pending: 1 queued, 1 duplicate left out, 1 rejected\n")
    assert "line 3: invalid phone" in err
    [request] = server.heard
    assert request.body == LEADS
    assert request.headers["Content-Type"].startswith("text/csv")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.query == {
        "from_number": "+12025550100",
        "url": "https://example.com/x",
        "concurrency": "2",
        "business_id": "4",
        "name": "a & b",
    }


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(server: Server, leads: str) -> None:
    server.answer("/api/runs", lost, lambda: problem(503, "away"), ok(STARTED, 201))
    code, out, _ = await start(server, leads, "--json")
    assert code == 0
    assert json.loads(out) == {**STARTED, "rejected": [{"index": 1, "code": "invalid_phone", "line": 3}]}
    keys = [request.headers["Idempotency-Key"] for request in server.heard]
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_two_starts_have_two_keys(server: Server, leads: str) -> None:
    server.answer("/api/runs", ok(STARTED, 201))
    await start(server, leads)
    await start(server, leads)
    assert len({request.headers["Idempotency-Key"] for request in server.heard}) == 2


async def test_every_fault_that_the_server_names_is_shown(server: Server, leads: str) -> None:
    faults = [{"pointer": "/twiml", "detail": "is no TwiML"}, {"pointer": "/name", "detail": "is too long"}]
    server.answer("/api/runs", lambda: problem(422, "the input is not valid", code="invalid", errors=faults))
    code, out, err = await start(server, leads)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "Error: the input is not valid (422 invalid)",
        "  /twiml: is no TwiML",
        "  /name: is too long",
    ]
    assert len(server.heard) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 409, 500])
async def test_other_refusals_exit_with_1(server: Server, leads: str, status: int) -> None:
    server.answer("/api/runs", lambda: problem(status, "not so"))
    code, out, err = await start(server, leads)
    assert (code, out) == (1, "")
    assert "not so" in err
    assert ("DIALER_TOKEN" in err) == (status == 401)


@pytest.mark.parametrize("command", [["runs", "list"], ["runs", "show", "7"], ["healthcheck"]])
async def test_an_unreachable_server_is_told_with_the_variable_that_names_it(command: list[str]) -> None:
    said = await dialer(*command, DIALER_URL="http://127.0.0.1:1")
    assert (said.code, said.out) == (1, "")
    assert "http://127.0.0.1:1" in said.err
    assert "DIALER_URL" in said.err


@pytest.mark.parametrize("answer", [{"hello": "world"}, [], "text"])
async def test_a_stranger_that_answers_is_recognised(server: Server, answer: object) -> None:
    server.answer("/api/runs/7", ok(answer))
    said = await dialer("runs", "show", "7", DIALER_URL=server.url)
    assert (said.code, said.out) == (1, "")
    assert "DIALER_URL" in said.err


async def test_the_token_may_lie_in_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    server.answer("/api/runs", ok({"data": [], "next_cursor": None}))
    said = await dialer("runs", "list", DIALER_URL=server.url, DIALER_TOKEN_FILE=str(tmp_path / "token"))
    assert said.code == 0
    assert server.heard[0].headers["Authorization"] == "Bearer from-file"


async def test_runs_are_listed_as_a_table_and_as_json(server: Server) -> None:
    runs = [run(9, name="a\x1b[31mred", status="paused"), run(8, processed=2, dispositions={"busy": 2})]
    server.answer("/api/runs", ok({"data": runs, "next_cursor": None}))
    table = await dialer("runs", "list", "--status", "paused", DIALER_URL=server.url)
    heading, first, second = table.out.splitlines()
    assert heading.split() == ["run", "name", "status", "done", "live", "created", "outcomes"]
    assert "\x1b" not in table.out
    assert "paused" in first
    assert "2/7" in second
    assert "2 busy" in second
    assert server.heard[0].query == {"status": "paused", "limit": "20"}
    as_json = await dialer("runs", "list", "--json", DIALER_URL=server.url)
    assert json.loads(as_json.out) == runs


async def test_show_tells_everything_about_a_run(server: Server) -> None:
    server.answer("/api/runs/7", ok(run(last_error="21210: not verified")))
    shown = await dialer("runs", "show", "7", DIALER_URL=server.url)
    facts = dict(line.split(maxsplit=1) for line in shown.out.splitlines() if len(line.split()) > 1)
    assert facts["run_id"] == "7"
    assert facts["last_error"] == "21210: not verified"
    assert json.loads((await dialer("runs", "show", "7", "--json", DIALER_URL=server.url)).out) == run(
        last_error="21210: not verified"
    )


async def test_follow_goes_on_until_the_end_and_bears_a_restart_of_the_server(server: Server) -> None:
    done = run(status="completed", processed=7, completed=7, dispositions={"answered": 7})
    server.answer(
        "/api/runs/7", ok(run(processed=1)), lost, lambda: problem(503, "away"), ok(run(processed=3)), ok(done)
    )
    said = await dialer("runs", "follow", "7", "--json", DIALER_URL=server.url)
    assert said.code == 0
    assert [json.loads(line)["processed"] for line in said.out.splitlines()] == [1, 3, 7]


@pytest.mark.parametrize("status", ["stopped", "cancelled", "failed"])
async def test_follow_exits_with_1_when_the_run_was_not_completed(server: Server, status: str) -> None:
    server.answer("/api/runs/7", ok(run(status=status)))
    said = await dialer("runs", "follow", "7", DIALER_URL=server.url)
    assert said.code == 1
    assert f"run 7 {status}" in said.err


async def test_start_can_watch_the_run(server: Server, leads: str) -> None:
    server.answer("/api/runs", ok(STARTED, 201))
    server.answer("/api/runs/7", ok(run(active_calls=2)), ok(run(status="completed", processed=7)))
    code, out, err = await start(server, leads, "--watch")
    assert code == 0
    assert "completed" in out
    assert "2 live" in err


@pytest.mark.parametrize(("more", "path"), [([], "/livez"), (["--ready"], "/readyz")])
async def test_healthcheck_asks_the_probe(server: Server, more: list[str], path: str) -> None:
    server.answer(path, ok({"status": "ok"}), lambda: problem(503, "no database"))
    port = server.url.rsplit(":", 1)[1]
    assert (await dialer("healthcheck", *more, CONTROL_PORT=port)).code == 0
    assert (await dialer("healthcheck", *more, DIALER_URL=server.url)).code == 1
    assert [request.path for request in server.heard] == [path, path]
