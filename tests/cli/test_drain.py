"""`dialer drain`: which daemons are meant, and what is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.control import Control, rows
from tests.cli.listening import Server, ok, problem
from tests.cli.running import dialer
from tests.support.runs import Worker

ONE, OTHER, THIRD = (
    "a5905613-0000-4000-8000-000000000000",
    "a5ff0000-0000-4000-8000-000000000000",
    "b7000000-0000-4000-8000-000000000000",
)


def daemon(daemon_id: str, state: str = "draining", host: str = "tel-aviv") -> dict[str, Any]:
    asked = "2026-05-01T10:00:00Z"
    return {"id": daemon_id, "host": host, "pid": 7, "state": state, "drain_requested_at": asked}


@pytest.fixture
def three(server: Server) -> dict[str, str]:
    """The variables that lead to a server with three daemons, two of them on one host."""
    hosts = {ONE: "tel-aviv", OTHER: "haifa", THIRD: "haifa"}
    listed = [daemon(daemon_id, host=host) for daemon_id, host in hosts.items()]
    server.answer("/api/health", ok({"status": "ok", "daemons": listed}))
    for daemon_id, host in hosts.items():
        server.answer(f"/api/daemons/{daemon_id}/drain", ok(daemon(daemon_id, host=host)))
    return {"DIALER_URL": server.url, "DIALER_TOKEN": "secret"}


def asked(server: Server) -> set[str]:
    return {one.path.split("/")[3] for one in server.heard if one.method == "POST"}


@pytest.mark.parametrize(
    ("named", "meant"),
    [(["A590"], {ONE}), ([OTHER], {OTHER}), (["haifa"], {OTHER, THIRD}), (["--all"], {ONE, OTHER, THIRD})],
)
async def test_who_is_meant(server: Server, three: dict[str, str], named: list[str], meant: set[str]) -> None:
    said = await dialer("drain", *named, more=three)
    assert (said.code, said.err) == (0, "")
    assert {row[0] for row in rows(said)} == {one[:8] for one in meant}
    assert asked(server) == meant


@pytest.mark.parametrize(
    ("named", "code", "why"),
    [
        (["a5"], 1, "several daemons begin with a5"),
        (["jaffa"], 1, "no live daemon"),
        ([], 2, "--all"),
        (["haifa", "--all"], 2, "--all"),
        ([""], 2, "--all"),
    ],
)
async def test_nobody_is_asked_on_a_guess(
    server: Server, three: dict[str, str], named: list[str], code: int, why: str
) -> None:
    said = await dialer("drain", *named, more=three)
    assert (said.code, said.out) == (code, "")
    assert why in said.err
    assert asked(server) == set()


async def test_an_empty_name_is_not_the_only_daemon(server: Server) -> None:
    server.answer("/api/health", ok({"status": "ok", "daemons": [daemon(ONE)]}))
    server.answer(f"/api/daemons/{ONE}/drain", ok(daemon(ONE)))
    said = await dialer("drain", "", more={"DIALER_URL": server.url, "DIALER_TOKEN": "secret"})
    assert (said.code, asked(server)) == (2, set())


async def test_without_a_token_it_says_what_is_missing(server: Server) -> None:
    server.answer("/api/health", ok({"status": "ok"}))
    said = await dialer("drain", "--all", more={"DIALER_URL": server.url})
    assert (said.code, said.err) == (1, "Error: this needs the operator's token: set DIALER_TOKEN\n")


async def test_waiting_looks_until_it_is_gone(server: Server, three: dict[str, str]) -> None:
    server.answer(f"/api/daemons/{ONE}", ok(daemon(ONE)), lambda: problem(503, "away"), ok(daemon(ONE, "gone")))
    said = await dialer("drain", "tel-aviv", "--wait", "--reason", "upgrade", more=three)
    assert said.code == 0
    assert rows(said)[0][3] == "gone"
    assert "a5905613 on tel-aviv has ended" in said.err
    assert next(one.body for one in server.heard if one.method == "POST") == '{"reason": "upgrade"}'


async def test_on_a_real_control(control: Control) -> None:
    worker = await Worker.join(control.house.pool)
    # It does not beat, and the commands take their time.
    await control.house.pool.execute("UPDATE dialer_daemons SET last_seen_at = now() + interval '1 hour'")
    (shown,) = await control.json("drain", str(worker.id)[:8])
    assert (shown["id"], shown["state"]) == (str(worker.id), "draining")
    status = await control.done("status")
    assert "0 (draining)" in status.out
    token = await control.house.key(await control.house.business())
    refused = await control.tell("drain", str(worker.id), token=token)
    assert (refused.code, "operator" in refused.err) == (1, True)
    await control.house.pool.execute("UPDATE dialer_daemons SET ended_at = now()")
    nobody = await control.done("drain", "--all")
    assert (nobody.out, nobody.err) == ("", "no daemon lives\n")
