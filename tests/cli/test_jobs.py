"""`dialer jobs`: why was this person called, or not?"""

from __future__ import annotations

from typing import Any

import pytest

from dialer.cli.run import Run
from dialer.cli.story import in_short, time_line
from tests.cli.control import Control, rows
from tests.cli.listening import run
from tests.control.house import news, sid

ATTEMPT: dict[str, Any] = {
    "attempt_id": "605170da-3572-4d4b-bead-f2b439b3d800",
    "state": "unknown",
    "disposition": None,
    "call_sid": None,
    "slot": 2,
    "created_at": "2026-05-01T10:00:00Z",
    "requested_at": None,
    "ended_at": None,
    "events": [],
}


def job(status: str, disposition: str | None = None, **others: Any) -> dict[str, Any]:
    return {"job_id": 1, "status": status, "disposition": disposition, "attempts": [], **others}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (job("completed", "answered", duration_seconds=12), "called: the call was answered for 12 s"),
        (job("completed", "machine", duration_seconds=None), "called: a machine answered"),
        (job("failed", "busy", error_code=486), "called: the line was busy (486)"),
        (
            job("failed", "invalid_number", error_code=21211, error_message="not valid"),
            "not called: the carrier does not take this number (21211: not valid)",
        ),
        (
            job("failed", "unknown"),
            "perhaps called: the carrier never told; it is not dialed again by itself",
        ),
        (
            job("cancelled", "not_dialed", error_message="the run was cancelled by key:3: lunch"),
            "never called: the run was cancelled by key:3: lunch",
        ),
        (job("failed", "not_dialed"), "never called: its run had ended before its turn came"),
        (job("failed", "a_new_word"), "ended as a_new_word"),
        (
            job("dialing", attempts=[{**ATTEMPT, "state": "intent"}]),
            "being called: the request is about to be sent",
        ),
        (
            job("dialing", attempts=[ATTEMPT]),
            "perhaps being called: what became of the request is being found out",
        ),
        (job("calling", attempts=[{**ATTEMPT, "state": "live"}]), "being called: the call is live"),
    ],
)
def test_how_a_job_stands_in_a_sentence(told: dict[str, Any], expected: str) -> None:
    assert in_short(told, None).startswith(expected)


@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [
        ("running", job("queued"), "not called yet: it waits for its turn"),
        ("pending", job("queued"), "not called yet: no daemon works on its run at the moment"),
        ("paused", job("queued"), "not called yet: its run is paused"),
        ("stopped", job("queued"), "not called yet: it will not be, for its run is over"),
        ("paused", job("queued", error_message="waits: 21210\x1b"), "not called yet: it waits: 21210\ufffd"),
        (
            "running",
            job("queued", attempts=[ATTEMPT]),
            "not called yet: it waits for its turn; its last attempt was certainly no call",
        ),
    ],
)
def test_why_a_job_still_waits(status: str, told: dict[str, Any], expected: str) -> None:
    assert in_short(told, Run.of(run(status=status))) == expected


def test_the_time_line_tells_what_is_not_known_and_what_came_late() -> None:
    event = {"status": "ringing", "at": "2026-05-01T10:00:01Z", "received_at": "2026-05-01T10:00:09Z"}
    told = job("dialing", attempts=[{**ATTEMPT, "events": [event]}], created_at="2026-05-01T09:00:00Z")
    lines = [(attempt, what) for _, attempt, what in time_line(told)]
    assert lines == [
        ("", "put on the list"),
        ("1", "a call was decided on, in slot 2 (605170da-3572-4d4b-bead-f2b439b3d800)"),
        ("1", "the carrier says: ringing (heard 8 s later)"),
        ("1", "what became of the request is being found out"),
    ]


async def test_the_jobs_of_a_run_are_listed_with_their_numbers(control: Control) -> None:
    await control.run(live=2)
    attempts = await control.house.pool.fetch("SELECT id FROM outbound_call_attempts ORDER BY job_id")
    await control.house.call_status(attempts[0]["id"], news(sid(), 3, "busy"))
    first, second = rows(await control.done("jobs", "list", "1"))
    assert "+972501200000" in first
    assert "busy" in first
    assert "+972501200001" in second
    [failed] = await control.json("jobs", "list", "1", "--status", "failed")
    assert failed["phone"] == "+972501200000"
    assert len(rows(await control.done("jobs", "list", "1", "--limit", "1"))) == 1
    shown = await control.done("runs", "show", "1", "--jobs", "--status", "failed")
    assert "+972501200000" in shown.out
    assert "+972501200001" not in shown.out
    whole = await control.json("runs", "show", "1", "--jobs")
    assert (whole["run_id"], [one["job_id"] for one in whole["jobs"]]) == (1, [1, 2])


async def test_a_job_is_shown_with_all_that_happened(control: Control) -> None:
    (attempt,) = await control.house.attempts(1)
    call = sid()
    for sequence, status in enumerate(("initiated", "ringing", "busy")):
        await control.house.call_status(attempt, news(call, sequence, status))
    said = await control.done("jobs", "show", "1")
    facts, short, told = said.out.split("\n\n")
    assert "+972501200000" in facts
    assert short.startswith("called: the line was busy")
    positions = [told.index(text) for text in ("put on the list", str(attempt), "ringing", "ended: failed busy")]
    assert positions == sorted(positions)
    assert call in told
    as_json = await control.json("jobs", "show", "1")
    assert [event["status"] for event in as_json["attempts"][0]["events"]] == ["initiated", "ringing", "busy"]


async def test_a_job_that_was_never_dialed_says_why(control: Control) -> None:
    run_id = str(await control.run(calls=1))
    assert "not called yet: no daemon" in (await control.done("jobs", "show", "1")).out
    await control.done("runs", "cancel", run_id, "--reason", "wrong list")
    assert (
        "never called: the run was cancelled by operator: wrong list"
        in (await control.done("jobs", "show", "1")).out
    )


@pytest.mark.parametrize("command", [["jobs", "list", "9"], ["jobs", "show", "9"], ["runs", "show", "9"]])
async def test_what_is_not_there_is_told(control: Control, command: list[str]) -> None:
    said = await control.tell(*command)
    assert (said.code, said.out) == (1, "")
    assert "there is no such" in said.err
