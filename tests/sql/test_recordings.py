"""Recordings in Postgres: one row a call whatever is said of it; moves that are refused; letting go."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import permutations
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

import sql
from tests.support.recordings import (
    add_attempt,
    add_recording_run,
    add_recordings,
    announce,
    claim,
    complete,
    end_call,
    fail,
    recorded_call,
    renew,
    rows,
    sid,
)
from tests.support.runs import add_business

# -- one row a call -------------------------------------------------------------------------------------


async def test_an_answered_call_of_a_run_that_records_expects_a_recording(pool: Any) -> None:
    attempt, call = await recorded_call(pool)
    await end_call(pool, attempt, call)
    [row] = await rows(pool)
    assert (row["status"], row["call_sid"], row["attempt_id"], row["recording_sid"]) == (
        "queued",
        call,
        attempt,
        None,
    )


@pytest.mark.parametrize(("record", "ends"), [(False, "completed"), (True, "busy"), (True, "no-answer")])
async def test_no_other_call_expects_one(pool: Any, record: bool, ends: str) -> None:
    run = await add_recording_run(pool, await add_business(pool), record=record)
    await end_call(pool, await add_attempt(pool, run), sid("CA"), ends)
    assert await rows(pool) == []


@pytest.mark.parametrize(
    "said", [p for n in (1, 2, 3) for p in permutations(("end", "completed", "completed again"), n) if "end" in p]
)
async def test_any_order_and_number_of_callbacks_makes_one_row(pool: Any, said: tuple[str, ...]) -> None:
    attempt, call = await recorded_call(pool)
    recording = sid("RE")
    for what in said:
        if what == "end":
            await end_call(pool, attempt, call)
        else:
            await announce(pool, attempt, call, recording, "completed")
    [row] = await rows(pool)
    named = recording if len(said) > 1 else None
    assert (row["status"], row["recording_sid"], row["attempt_id"]) == ("queued", named, attempt)


async def test_a_hundred_callbacks_at_once_make_one_row_and_one_news(pool: Any) -> None:
    attempt, call = await recorded_call(pool)
    recording = sid("RE")
    said = await asyncio.gather(
        end_call(pool, attempt, call), *(announce(pool, attempt, call, recording, "completed") for _ in range(100))
    )
    results = Counter(row["result"] for row in said[1:] if row is not None)
    assert results == {"taken": 1, "repeat": 99}
    assert len(await rows(pool)) == 1


@pytest.mark.parametrize(("status", "code"), [("absent", "absent"), ("failed", "carrier_failed")])
async def test_what_the_carrier_did_not_make_has_failed_with_the_reason(pool: Any, status: str, code: str) -> None:
    attempt, call = await recorded_call(pool)
    await announce(pool, attempt, call, None, status)
    await end_call(pool, attempt, call)
    [row] = await rows(pool)
    assert (row["status"], row["error_code"]) == ("failed", code)
    assert row["error_message"].startswith("the carrier")


@pytest.mark.parametrize("order", list(permutations(("completed", "absent"))))
async def test_a_recording_that_was_named_is_not_absent_in_whatever_order(
    pool: Any, order: tuple[str, str]
) -> None:
    attempt, call = await recorded_call(pool)
    recording = sid("RE")
    for status in order:
        await announce(pool, attempt, call, recording, status)
    [row] = await rows(pool)
    assert (row["status"], row["recording_sid"], row["error_code"]) == ("queued", recording, None)


async def test_an_unknown_attempt_is_kept_aside_and_progress_is_no_news(pool: Any) -> None:
    stranger = await announce(pool, uuid4(), sid("CA"), sid("RE"), "completed")
    assert stranger["result"] == "orphan"
    attempt, call = await recorded_call(pool)
    assert (await announce(pool, attempt, call, sid("RE"), "in-progress"))["result"] == "repeat"
    assert await rows(pool) == []
    assert await pool.fetchval("SELECT status FROM orphan_callbacks") == "recording completed"


async def test_a_second_recording_of_a_call_and_a_sid_of_another_are_told_apart(pool: Any) -> None:
    attempt, call = await recorded_call(pool)
    first = sid("RE")
    await announce(pool, attempt, call, first, "completed")
    assert (await announce(pool, attempt, call, sid("RE"), "completed"))["result"] == "another"
    other, other_call = await recorded_call(pool)
    assert (await announce(pool, other, other_call, first, "completed"))["result"] == "another"
    assert [r["recording_sid"] for r in await rows(pool)] == [first, None]


async def test_a_guess_of_the_list_gives_its_recording_to_the_attempt_that_owns_the_call(pool: Any) -> None:
    run = await add_recording_run(pool, await add_business(pool))
    guessed, true = await add_attempt(pool, run, slot=1), await add_attempt(pool, run, slot=2)
    call = sid("CA")
    await pool.execute(
        sql.query("take_carrier_event"), guessed, call, "list", None, "completed", None, 1, None, None, None
    )
    await end_call(pool, true, call)
    [row] = await rows(pool)
    assert row["attempt_id"] == true


# -- the state machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "to"),
    [("completed", "queued"), ("completed", "failed"), ("queued", "completed"), ("failed", "running")],
)
async def test_illegal_moves_are_refused_whoever_writes(pool: Any, before: str, to: str) -> None:
    await add_recordings(pool, await add_business(pool), 1)
    if before != "queued":
        [row] = await claim(pool, uuid4())
        await (complete(pool, row) if before == "completed" else fail(pool, row))
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE recording_runs SET status = $1", to)


async def test_who_cancels_by_hand_takes_the_lease(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 1)
    worker = uuid4()
    [row] = await claim(pool, worker)
    await pool.execute("UPDATE recording_runs SET status = 'cancelled'")
    assert await renew(pool, worker, row) == []
    assert await complete(pool, row) == []
    [stored] = await rows(pool)
    assert (stored["locked_by_worker"], stored["last_heartbeat_at"]) == (None, None)


@pytest.mark.parametrize("call", ["CA../../etc/passwd", "CA1/2", "XX1", "CA"])
async def test_a_sid_that_could_be_a_path_is_refused(pool: Any, call: str) -> None:
    attempt, _ = await recorded_call(pool)
    with pytest.raises(asyncpg.CheckViolationError):
        await announce(pool, attempt, call, sid("RE"), "completed")


# -- retention ------------------------------------------------------------------------------------------


async def test_expired_files_are_given_to_one_and_forgotten_after(pool: Any) -> None:
    await add_recordings(pool, await add_business(pool), 2)
    for row in await claim(pool, uuid4()):
        await complete(pool, row)
    await pool.execute("UPDATE recording_runs SET completed_at = now() - interval '8 days' WHERE id = 1")
    [expired] = await pool.fetch(sql.query("take_expired_recordings"), 7.0, 10, 60.0)
    assert await pool.fetch(sql.query("take_expired_recordings"), 7.0, 10, 60.0) == []
    [kept] = [r for r in await rows(pool) if r["id"] == expired["recording_id"]]
    assert kept["sha256"] is not None
    await pool.fetch(sql.query("forget_recording"), expired["recording_id"])
    [gone] = [r for r in await rows(pool) if r["id"] == expired["recording_id"]]
    assert (gone["status"], gone["bytes"], gone["sha256"], gone["file_name"]) == ("completed", None, None, None)
    assert gone["deleted_at"] is not None


async def test_the_carriers_copy_goes_only_once_ours_is_safe(pool: Any) -> None:
    take, note = sql.query("take_recordings_at_carrier"), sql.query("note_carrier_deleted")
    await add_recordings(pool, await add_business(pool), 2)
    [row, _] = await claim(pool, uuid4())
    account = row["account_sid"]
    assert await pool.fetch(take, account, 10, 60.0) == []
    await complete(pool, row)
    assert await pool.fetch(take, "ACother", 10, 60.0) == []
    [copy] = await pool.fetch(take, account, 10, 0.0)
    assert copy["recording_sid"] == row["recording_sid"]
    await pool.fetch(note, copy["recording_id"])
    assert await pool.fetch(take, account, 10, 0.0) == []
