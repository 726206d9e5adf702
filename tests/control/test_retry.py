"""A retry is a new run with chosen jobs of one that has ended."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest
from structlog.testing import capture_logs

from control.document.payloads import Disposition
from control.lists.retry import BY_DEFAULT
from tests.control.house import Answer, House
from tests.support.runs import Run, Worker, add_run, assert_counters_match, event

# How each job of the run ends, in the order of its list; the last ones are never dialed.
ENDS = ("answered", "machine", "busy", "no_answer", "failed", "canceled", "invalid_number", "unknown")
CARRIERS_WORD = {"answered": "completed", "no_answer": "no-answer"}
KEY = {"Idempotency-Key": "again-1"}


async def retry(house: House, run_id: object, token: str | None = None, **options: Any) -> Answer:
    who = {} if token is None else {"token": token}
    return await house.ask("POST", f"/api/runs/{run_id}/retry", **who, **options)


async def ended_run(house: House, *, never_dialed: int = 2) -> Run:
    """A stopped run in which every disposition occurs once, and `not_dialed` so often."""
    business = await house.business(max_concurrent_calls=50, from_number="+97231234567")
    run = await add_run(house.pool, business, len(ENDS) + never_dialed, concurrency=20)
    worker = await Worker.join(house.pool)
    await worker.claim()
    written = await worker.intend(run.run_id, list(range(1, len(ENDS) + 1)))
    for number, (end, intent) in enumerate(zip(ENDS, written, strict=True)):
        attempt = intent["attempt_id"]
        if end in ("invalid_number", "unknown", "machine"):
            await house.pool.execute("SELECT end_attempt($1, $2, NULL, NULL, NULL)", attempt, end)
        else:
            await event(house.pool, attempt, CARRIERS_WORD.get(end, end), sid=f"CA{number}")
    await house.ask("POST", f"/api/runs/{run.run_id}/stop")
    return run


async def jobs_of(house: House, run_id: int) -> list[tuple[Any, ...]]:
    rows = await house.pool.fetch(
        "SELECT lead_id, phone, status FROM outbound_call_jobs WHERE run_id = $1 ORDER BY position", run_id
    )
    return [tuple(row) for row in rows]


async def test_by_default_those_whom_nobody_spoke_to_and_that_may_be_reached(house: House) -> None:
    run = await ended_run(house)
    answer = await retry(house, run.run_id)
    new = answer.data.pop("run_id")
    assert (answer.status, answer.data) == (
        201,
        {"status": "pending", "queued": 6, "rejected": [], "duplicates": 0},
    )
    old_jobs = await jobs_of(house, run.run_id)
    wanted = [ENDS.index(end) for end in ("busy", "no_answer", "failed", "canceled")] + [8, 9]
    assert await jobs_of(house, new) == [(*old_jobs[n][:2], "queued") for n in wanted]
    shown = await house.run(new)
    assert (shown["queued"], shown["total"], shown["concurrency"]) == (6, 6, 20)
    await assert_counters_match(house.pool, new)
    worker = await Worker.join(house.pool)
    assert [row["run_id"] for row in await worker.claim()] == [new]
    assert [row["verdict"] for row in await worker.intend(new, [1])] == ["intent"]


@pytest.mark.parametrize("disposition", [*ENDS, "not_dialed"])
async def test_any_disposition_may_be_named(house: House, disposition: str) -> None:
    run = await ended_run(house, never_dialed=1)
    answer = await retry(house, run.run_id, json={"only": [disposition, disposition]})
    assert (answer.status, answer.data["queued"]) == (201, 1)
    [job] = await jobs_of(house, answer.data["run_id"])
    number = len(ENDS) if disposition == "not_dialed" else ENDS.index(disposition)
    assert job[0] == f"lead-{number + 1}"


def test_what_may_have_been_a_call_is_never_dialed_again_unless_named() -> None:
    known = set(get_args(Disposition))
    assert known - set(BY_DEFAULT) == {"answered", "machine", "invalid_number", "unknown"}


async def test_the_new_run_is_set_up_as_the_old_one(house: House) -> None:
    business = await house.business(max_concurrent_calls=5)
    fields = {
        "name": "spring",
        "twiml": None,
        "url": "https://example.test/twiml",
        "record": True,
        "machine_detection": True,
        "ring_timeout_seconds": 17,
        "call_time_limit_seconds": 71,
        "concurrency": 4,
        "from_number": "+97231234567",
    }
    leads = [{"phone": "+972501234567", "lead_id": "7", "name": "Dana", "variables": {"city": "Haifa"}}]
    started = await house.ask("POST", "/api/runs", json={"business_id": business, "leads": leads, **fields})
    old = started.data["run_id"]
    await house.ask("POST", f"/api/runs/{old}/stop")
    await house.ask("PATCH", f"/api/businesses/{business}", json={"max_concurrent_calls": 2})
    new = (await retry(house, old)).data["run_id"]
    settings = "SELECT * FROM outbound_call_run_settings WHERE run_id = $1"
    rows = [dict(await house.pool.fetchrow(settings, run_id)) for run_id in (old, new)]
    assert {**rows[0], "run_id": new} == rows[1]
    assert (await house.run(new))["concurrency"] == 2, "as many as the business may have today"
    job = (await house.ask("GET", f"/api/runs/{new}/jobs")).data["data"][0]
    assert (job["phone"], job["lead_id"], job["name"], job["variables"], job["attempts_made"]) == (
        *("+972501234567", "7", "Dana", {"city": "Haifa"}),
        0,
    )


@pytest.mark.parametrize("status", ["pending", "running", "paused"])
async def test_a_run_that_goes_on_cannot_be_retried(house: House, status: str) -> None:
    run = await add_run(house.pool, await house.business(), 2)
    if status != "pending":
        await (await Worker.join(house.pool)).claim()
    if status == "paused":
        await house.ask("POST", f"/api/runs/{run.run_id}/pause")
    answer = await retry(house, run.run_id)
    assert (answer.status, answer.data["code"]) == (409, "run_not_ended")
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 1


@pytest.mark.parametrize("only", [[], ["nonsense"], ["busy", "Busy"], "busy", {"busy": True}, [None]])
async def test_what_is_no_disposition_is_refused(house: House, only: Any) -> None:
    run = await ended_run(house)
    answer = await retry(house, run.run_id, json={"only": only})
    assert answer.status == 422
    assert answer.data["errors"][0]["pointer"].startswith("/only")
    assert "nonsense" not in answer.text
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 1


async def test_nothing_to_retry_makes_no_run(house: House) -> None:
    run = await ended_run(house, never_dialed=0)
    for _ in range(2):
        answer = await retry(house, run.run_id, json={"only": ["not_dialed"]}, headers=KEY)
        assert (answer.status, answer.data["code"]) == (422, "nothing_to_retry")
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 1


async def test_calls_that_are_still_live_are_not_retried(house: House) -> None:
    run = await add_run(house.pool, await house.business(), 3)
    worker = await Worker.join(house.pool)
    await worker.claim()
    await worker.intend(run.run_id, [1])
    await house.ask("POST", f"/api/runs/{run.run_id}/stop")
    answer = await retry(house, run.run_id)
    assert [job[0] for job in await jobs_of(house, answer.data["run_id"])] == ["lead-2", "lead-3"]


async def test_the_same_key_makes_one_run_also_at_once(house: House) -> None:
    run = await ended_run(house)
    answers = await asyncio.gather(*(retry(house, run.run_id, headers=KEY) for _ in range(10)))
    assert {answer.status for answer in answers} == {201}
    assert all(answer.data == answers[0].data for answer in answers)
    assert answers[0].data["queued"] == 6
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 2
    other = await retry(house, run.run_id, headers=KEY, json={"only": ["busy"]})
    assert (other.status, other.data["code"]) == (422, "idempotency_key_reused")
    again = await retry(house, answers[0].data["run_id"], headers=KEY)
    assert again.data["code"] == "idempotency_key_reused"


async def test_who_may_and_what_is_kept_of_it(house: House) -> None:
    run = await ended_run(house)
    stranger = await house.key(await house.business())
    reader = await house.key(run.business_id, "read_only")
    assert (await retry(house, run.run_id, token=stranger)).status == 403
    assert (await retry(house, run.run_id, token=reader)).status == 403
    assert (await retry(house, 10**9)).status == 404
    assert (await retry(house, "nonsense")).status == 404
    member = await house.key(run.business_id)
    with capture_logs() as logs:
        answer = await retry(house, run.run_id, token=member, json={"reason": "evening"})
    [line] = [entry for entry in logs if entry["event"] == "RETRY"]
    assert (line["run_id"], line["reason"], line["actor"].startswith("key:")) == (run.run_id, "evening", True)
    rows = await house.pool.fetch("SELECT action, run_id, reason, actor FROM audit_log ORDER BY id DESC LIMIT 2")
    assert {tuple(row) for row in rows} == {
        ("retry", run.run_id, "evening", line["actor"]),
        ("start", answer.data["run_id"], "evening", line["actor"]),
    }
