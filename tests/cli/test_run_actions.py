"""`dialer runs pause|resume|cancel|force-cancel|stop|retry`, on a real control."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.control import Control
from tests.cli.listening import Server, lost, ok, problem, run
from tests.cli.running import dialer
from tests.cli.terminal import Terminal
from tests.control.house import news, sid

ANSWERS = {
    "pause": run(),
    "resume": run(),
    "cancel": {"run_id": 7, "status": "cancelled", "cancel_requested": True, "jobs_cancelled": 3},
    "force-cancel": {
        "run_id": 7,
        "status": "cancelled",
        "jobs_cancelled": 3,
        "slots_released": 0,
        "calls_hung_up": 2,
    },
    "stop": {"run_id": 7, "status": "stopped", "cancelled_jobs": 3},
}


async def audited(control: Control) -> list[Any]:
    rows = await control.house.pool.fetch(
        "SELECT action, reason FROM audit_log WHERE run_id IS NOT NULL ORDER BY id"
    )
    return [tuple(row) for row in rows]


async def test_a_run_is_paused_and_resumed(control: Control) -> None:
    run_id = str(await control.run())
    said = await control.done("runs", "pause", run_id, "--reason", "lunch")
    assert (said.out, said.err) == (f"run {run_id} paused: 0 of 3 done, 0 live\n", "")
    assert (await control.json("runs", "show", run_id))["status"] == "paused"
    resumed = await control.json("runs", "resume", run_id)
    assert (resumed["run_id"], resumed["status"]) == (int(run_id), "pending")
    again = await control.tell("runs", "resume", run_id)
    assert (again.code, again.out) == (1, "")
    assert again.err == "Error: only a paused run can be resumed; this one is pending (409 run_not_paused)\n"
    assert ("pause", "lunch") in await audited(control)


async def test_a_run_is_cancelled_and_again_without_harm(control: Control) -> None:
    run_id = str(await control.run(calls=1))
    said = await control.done("runs", "cancel", run_id)
    assert said.out == f"run {run_id} cancelled: 1 job cancelled\n"
    again = await control.json("runs", "cancel", run_id)
    assert again == {
        "run_id": int(run_id),
        "status": "cancelled",
        "cancel_requested": again["cancel_requested"],
        "jobs_cancelled": 0,
    }


async def test_a_cancelled_run_with_a_live_call_says_when_it_ends(control: Control) -> None:
    await control.run(live=1)
    said = await control.done("runs", "cancel", "1")
    assert said.out == "run 1 ends with its last live call: 0 jobs cancelled\n"
    assert "dialer runs follow 1" in said.err


async def test_a_run_is_stopped_and_force_cancelled(control: Control) -> None:
    one, two = str(await control.run()), str(await control.run(calls=2))
    assert (await control.done("runs", "stop", one)).out == f"run {one} stopped: 3 jobs cancelled\n"
    said = await control.done("runs", "force-cancel", two, "--reason", "all wrong")
    assert said.out == f"run {two} cancelled: 2 jobs cancelled, 0 calls hung up\n"
    assert (await control.json("runs", "stop", one))["cancelled_jobs"] == 0
    assert (await control.json("runs", "force-cancel", two))["slots_released"] == 0
    assert ("force_cancel", "all wrong") in await audited(control)


async def test_a_run_of_another_business_than_named_is_left_alone(control: Control) -> None:
    run_id = str(await control.run())
    other = await control.house.business()
    refused = await control.tell("runs", "stop", run_id, DIALER_BUSINESS=str(other))
    assert (refused.code, refused.out) == (1, "")
    assert "404" in refused.err
    assert (await control.json("runs", "show", run_id))["status"] == "pending"
    key = await control.house.key(other)
    assert "403" in (await control.tell("runs", "stop", run_id, token=key)).err
    assert (await control.json("runs", "show", run_id))["status"] == "pending"


async def test_those_not_reached_are_tried_again(control: Control) -> None:
    attempts = await control.house.attempts(2)
    for attempt, status in zip(attempts, ("busy", "completed"), strict=True):
        await control.house.call_status(attempt, news(sid(), 3, status))
    said = await control.done("runs", "retry", "1", "--only", "busy, no_answer")
    assert said.out == "run 2 pending: 1 queued\n"
    assert "dialer runs follow 2" in said.err
    assert (await control.json("runs", "retry", "1", "--only", "answered"))["queued"] == 1
    nothing = await control.tell("runs", "retry", "1", "--only", "machine")
    assert (nothing.code, nothing.out) == (2, "")
    assert "/only: no job of the run ended as machine" in nothing.err


@pytest.mark.parametrize("given", ["", "busy,lazy", ","])
async def test_what_is_no_way_to_end_is_refused_before_anything_is_sent(server: Server, given: str) -> None:
    said = await dialer("runs", "retry", "7", "--only", given, DIALER_URL=server.url)
    assert (said.code, said.out) == (2, "")
    assert "no_answer" in said.err
    assert server.heard == []


async def test_a_retry_whose_answer_got_lost_is_asked_for_again_with_its_key(server: Server) -> None:
    started = {"run_id": 8, "status": "pending", "queued": 2, "rejected": [], "duplicates": 0}
    server.answer("/api/runs/7/retry", lost, lambda: problem(503, "away"), ok(started, 201))
    said = await dialer("runs", "retry", "7", "--json", DIALER_URL=server.url)
    assert (said.code, json.loads(said.out)) == (0, started)
    assert len(server.heard) == 3
    assert len({request.headers["Idempotency-Key"] for request in server.heard}) == 1


@pytest.mark.parametrize(
    ("verb", "trouble"),
    [
        *((verb, lost) for verb in ANSWERS),
        ("stop", lambda: problem(429, "too fast")),
        ("stop", lambda: problem(503, "away")),
    ],
)
async def test_an_order_without_a_key_is_given_once(server: Server, verb: str, trouble: Any) -> None:
    server.answer(f"/api/runs/7/{verb}", trouble, ok(ANSWERS[verb]))
    said = await dialer("runs", verb, "7", DIALER_URL=server.url)
    assert (said.code, said.out) == (1, "")
    assert len(server.heard) == 1
    assert len(said.err.splitlines()) == 1
    assert ("may or may not have acted" in said.err) == (trouble is lost)


async def test_calls_are_hung_up_on_demand(server: Server) -> None:
    server.answer("/api/runs/7/force-cancel", ok(ANSWERS["force-cancel"]))
    said = await dialer("runs", "force-cancel", "7", "--hangup", "--reason", "fire", DIALER_URL=server.url)
    assert said.out == "run 7 cancelled: 3 jobs cancelled, 2 calls hung up\n"
    assert json.loads(server.heard[0].body) == {"reason": "fire", "hangup": True}


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 1)])
async def test_on_a_terminal_a_person_is_asked_before_calls_are_hung_up(
    server: Server, typed: str, code: int
) -> None:
    server.answer("/api/runs/7/force-cancel", ok(ANSWERS["force-cancel"]))
    with Terminal("runs", "force-cancel", "7", "--hangup", DIALER_URL=server.url) as terminal:
        await terminal.shows("hang up on everybody who is in a call of run 7? [y/N]")
        assert server.heard == []
        terminal.type(typed)
        assert await terminal.ended() == code
    assert len(server.heard) == (1 if code == 0 else 0)
