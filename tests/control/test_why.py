"""Why was this person not called? One answer tells."""

from __future__ import annotations

from typing import Any

import pytest

import sql
from tests.control.house import House
from tests.support.runs import Worker, add_business, add_run
from tests.support.waiting import eventually


async def _job(house: House, job_id: int) -> Any:
    return (await house.ask("GET", f"/api/jobs/{job_id}")).data


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("cancel", {}, "the run was cancelled by operator"),
        ("force-cancel", {"reason": "wrong list"}, "the run was force-cancelled by operator: wrong list"),
        ("stop", {"reason": "wrong list"}, "the run was stopped by operator: wrong list"),
    ],
)
async def test_why_a_person_was_not_called_is_told_by_who_ended_the_run(
    house: House, path: str, body: dict[str, str], reason: str
) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 2)
    assert (await house.ask("POST", f"/api/runs/{run.run_id}/{path}", json=body)).status == 200
    # Who comes second changes nothing, before the sweep or after it.
    await house.ask("POST", f"/api/runs/{run.run_id}/stop", json={"reason": "again"})

    async def swept() -> bool:
        return not await house.pool.fetchval("SELECT count(*) FROM outbound_call_jobs WHERE status = 'queued'")

    for _ in range(2):
        job = await _job(house, run.jobs[0])
        assert (job["disposition"], job["error_message"], job["attempts"]) == ("not_dialed", reason, [])
        await eventually(swept)
    listed = (await house.ask("GET", f"/api/runs/{run.run_id}/jobs")).data["data"]
    assert [job["error_message"] for job in listed] == [reason, reason]
    assert {**listed[0], "attempts": []} == await _job(house, run.jobs[0])


async def test_why_a_person_is_not_called_yet(house: House) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 2)
    job = run.jobs[0]
    assert (await _job(house, job))["error_message"] is None
    worker = await Worker.join(house.pool)
    await worker.claim()
    # The account is refused; the run waits, and says why.
    refusal = "20003: Authenticate"
    await house.pool.execute(sql.query("note_last_error"), worker.id, [run.run_id], refusal)
    assert (await house.run(run.run_id))["last_error"] == refusal
    assert (await _job(house, job))["error_message"] == f"waits: {refusal}"
    await house.pool.execute(sql.query("note_last_error"), worker.id, [run.run_id], None)
    # A create that was not processed: the job tells, and waits for its next turn.
    [intent] = await worker.intend(run.run_id, [1])
    await house.pool.execute(sql.query("return_attempt"), intent["attempt_id"], 30.0, 20429, "Too Many Requests")
    shown = await _job(house, job)
    assert (shown["status"], shown["error_code"], shown["error_message"], shown["attempts_made"]) == (
        *("queued", 20429, "Too Many Requests"),
        0,
    )
    assert [attempt["disposition"] for attempt in shown["attempts"]] == ["not_dialed"]
    await house.ask("POST", f"/api/runs/{run.run_id}/pause", json={})
    assert (await _job(house, run.jobs[1]))["error_message"] == "waits: the run is paused"


async def test_a_run_stopped_as_stale_tells_so_at_its_jobs(house: House) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 1)
    await (await Worker.join(house.pool)).claim()
    await house.pool.execute("UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '1 minute'")
    cleaned = await house.ask("POST", "/api/outbound/cleanup-stuck-jobs", json={})
    assert cleaned.data["runs"] == [run.run_id]
    assert (await _job(house, run.jobs[0]))["error_message"].startswith("the run was stopped as stale by operator")
    assert (await house.run(run.run_id))["last_error"].startswith("stale: no heartbeat for 60")
