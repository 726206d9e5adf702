"""docs/states.md against the database: which states and moves there are, and what each button does."""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

import sql
from control.document.payloads import Disposition, JobStatus, RecordingStatus, RunStatus
from control.lists import retry
from tests.docs.pages import TOP, rows_under
from tests.sql.stopping import age_heartbeat, dialing, hold, row_of, stop, stop_stale, sweep
from tests.support.runs import Run, event

STATES = TOP / "docs" / "states.md"
SID = "CA" + "1" * 32


def rows(heading: str, columns: int) -> list[list[str]]:
    return [row for row in rows_under(STATES, heading) if len(row) == columns]


def words(cell: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", cell)


def first_words(heading: str, columns: int) -> list[str]:
    return [word for row in rows(heading, columns) for word in words(row[0])]


def test_every_status_and_disposition_is_explained_and_no_other() -> None:
    assert sorted(first_words("## Runs", 3)) == sorted(get_args(RunStatus))
    assert sorted(first_words("## Jobs", 2)) == sorted(get_args(JobStatus))
    assert sorted(first_words("## Jobs", 4)) == sorted(get_args(Disposition))
    assert sorted(first_words("## Recordings", 2)[:5]) == sorted(get_args(RecordingStatus))


def test_it_says_what_a_retry_dials() -> None:
    again = {word for row in rows("## Jobs", 4) if row[3].startswith("yes") for word in words(row[0])}
    assert again == set(retry.BY_DEFAULT)


@pytest.mark.parametrize(("heading", "table"), [("## Runs", "run_moves"), ("## Recordings", "recording_moves")])
async def test_the_moves_are_those_that_the_database_allows(pool: Any, heading: str, table: str) -> None:
    starts = {word for row in rows(heading, 2) for word in words(row[0]) if len(words(row[0])) == 1}
    told = {(start, to) for row in rows(heading, 2) for start in words(row[0])[:1] for to in words(row[1])}
    allowed = {(r["from_status"], r["to_status"]) for r in await pool.fetch(f"SELECT * FROM {table}")}
    assert {move for move in told if move[0] in starts and move[1] in {to for _, to in allowed}} == allowed


async def test_the_states_of_attempts_are_those_of_the_table(pool: Any) -> None:
    check = await pool.fetchval(
        """SELECT pg_get_constraintdef(oid) FROM pg_constraint
           WHERE conrelid = 'outbound_call_attempts'::regclass AND conname = 'outbound_call_attempts_state_check'"""
    )
    assert sorted(first_words("## Attempts", 3)) == sorted(re.findall(r"'(\w+)'", check))


def test_every_reason_why_a_recording_failed_is_explained_and_no_other() -> None:
    told = set(first_words("## Recordings", 3))
    trees = [
        ast.parse(path.read_text()) for path in (TOP / "dialer").rglob("*.py") if "embedded" not in path.parts
    ]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "Trouble" and isinstance(call.args[0], ast.Constant)
    }
    # What the carrier says itself is a word of the database.
    assert told == made | {"absent", "carrier_failed"}


# -- what every button does -----------------------------------------------------------------------------

Press = Callable[[Any, Run], Awaitable[Any]]


async def by_hand(db: Any, run: Run) -> None:
    await db.execute("UPDATE outbound_call_runs SET status='stopped', ended_at=now() WHERE id = $1", run.run_id)


async def clean_up(db: Any, run: Run) -> None:
    await age_heartbeat(db, run, 31)
    await stop_stale(db, run.run_id, 30)


BUTTONS: dict[str, Press] = {
    "`pause`": lambda db, run: hold(db, run.run_id, "pause"),
    "`cancel`": lambda db, run: stop(db, run.run_id, "cancel"),
    "`force-cancel`": lambda db, run: stop(db, run.run_id, "force_cancel"),
    "`force-cancel` with `--hangup`": lambda db, run: stop(db, run.run_id, "force_cancel", hangup=True),
    "`stop`": lambda db, run: stop(db, run.run_id, "stop"),
    "`UPDATE … SET status='stopped'` in SQL": by_hand,
    "`cleanup-stuck-jobs`": clean_up,
}


def test_the_table_has_every_button() -> None:
    others = (
        "`resume`",
        "`retry`",
        "SIGTERM to a daemon",
        "`kill -9` of a daemon",
        "SIGTERM or `kill -9` of control",
    )
    told = [row[0] for row in rows("## What every button does", 6)]
    assert [name for name in told if name not in BUTTONS and not name.startswith(others)] == []
    assert set(BUTTONS) <= set(told)


@pytest.mark.parametrize("button", BUTTONS)
async def test_a_button_does_what_the_table_says(pool: Any, button: str) -> None:
    [row] = [row for row in rows("## What every button does", 6) if row[0] == button]
    run, _, [requested, live] = await dialing(pool, 5, 2)
    await event(pool, live["attempt_id"], "in-progress", sid=SID)
    await BUTTONS[button](pool, run)
    await sweep(pool, run)

    status = (await row_of(pool, run))["status"]
    # A cancel is told by what it comes to, and by what it is as long as calls are live, which is so here.
    assert status in words(row[1])
    assert {ending_of(job) for job in await jobs_of(pool, run, queued=True)} == {tuple(words(row[2]))}
    held = await pool.fetch("SELECT job_id FROM outbound_call_attempts WHERE ended_at IS NULL ORDER BY slot")
    assert [r["job_id"] for r in held] == list(run.jobs[:2])

    await pool.fetchrow(sql.query("return_attempt"), requested["attempt_id"], 0.0, None, "not sent")
    [job] = await pool.fetch("SELECT * FROM outbound_call_jobs WHERE id = $1", run.jobs[0])
    unsent = re.findall(r"(?:goes back to the (queue)|what has not is `(\w+)`)", row[3])
    if unsent:
        assert job["status"] == (unsent[0][1] or "queued")
    hung_up = await pool.fetch(sql.query("take_due_hangups"), run.run_id, 5.0)
    assert bool(hung_up) == ("hung up" in row[4])

    await event(pool, live["attempt_id"], "completed", sid=SID, sequence=9)
    [job] = await pool.fetch("SELECT * FROM outbound_call_jobs WHERE id = $1", run.jobs[1])
    assert (job["status"], job["disposition"]) == ("completed", "answered")
    if button == "`cancel`":
        assert (await row_of(pool, run))["status"] == words(row[1])[0]


async def test_calls_of_a_run_that_was_stopped_can_still_be_ended(pool: Any) -> None:
    run, _, [live] = await dialing(pool, 5, 1)
    await event(pool, live["attempt_id"], "in-progress", sid=SID)
    await stop(pool, run.run_id, "stop")
    assert await pool.fetch(sql.query("take_due_hangups"), run.run_id, 5.0) == []
    await stop(pool, run.run_id, "force_cancel", hangup=True)
    [due] = await pool.fetch(sql.query("take_due_hangups"), run.run_id, 5.0)
    assert (due["call_sid"], (await row_of(pool, run))["status"]) == (SID, "stopped")


async def jobs_of(pool: Any, run: Run, *, queued: bool) -> list[Any]:
    """Those that were queued when the button was pressed, or the others."""
    jobs = await pool.fetch("SELECT * FROM outbound_call_jobs WHERE run_id = $1 ORDER BY position", run.run_id)
    return list(jobs[2:] if queued else jobs[:2])


def ending_of(job: Any) -> tuple[str, ...]:
    return (job["status"], job["disposition"]) if job["disposition"] else (job["status"],)
