"""Runs and jobs as they are shown, and to whom."""

from typing import Any

import pytest

from control.resources.runs import percent
from tests.control.house import OPERATOR, House, news, sid
from tests.support.runs import Worker, add_business, add_run, assert_counters_match

COUNTS = ("queued", "in_progress", "completed", "failed", "cancelled")


async def _stop(house: House, run_id: int, statement: str) -> None:
    await house.pool.execute(f"UPDATE outbound_call_runs SET {statement} WHERE id = $1", run_id)


async def test_a_run_from_start_to_end(house: House) -> None:
    attempts = await house.attempts(3, concurrency=3, name="spring")
    (run,) = (await house.ask("GET", "/api/runs")).data["data"]
    assert set(run) == {
        *("run_id", "business_id", "name", "status", "total", *COUNTS, "processed", "progress_pct", "concurrency"),
        *("active_calls", "cancel_requested", "can_cancel", "last_error", "locked_by_worker", "last_heartbeat_at"),
        *("created_at", "started_at", "ended_at", "updated_at", "dispositions"),
    }
    assert (run["status"], run["in_progress"], run["active_calls"], run["can_cancel"]) == ("running", 3, 3, True)
    assert run["last_heartbeat_at"].endswith("Z")

    outcomes = [("completed", {"AnsweredBy": "machine_start"}), ("completed", {}), ("busy", {})]
    for attempt, (status, others) in zip(attempts, outcomes, strict=True):
        await house.call_status(attempt, news(sid(), 3, status, **others))
    run = await house.run(run["run_id"])
    assert (run["status"], run["completed"], run["failed"], run["processed"]) == ("completed", 2, 1, 3)
    assert run["dispositions"] == {"machine": 1, "answered": 1, "busy": 1}
    assert (run["progress_pct"], run["can_cancel"], run["locked_by_worker"]) == (100.0, False, None)
    await assert_counters_match(house.pool, run["run_id"])


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("status = 'stopped', ended_at = now()", "cancelled"),
        ("cancel_requested = true, status = 'running'", "cancelled"),
        ("status = 'stopped', ended_at = now(), sweep_to = 'failed'", "failed"),
    ],
)
async def test_jobs_not_yet_swept_are_shown_where_they_are_going(
    house: House, statement: str, status: str
) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 5)
    worker = await Worker.join(house.pool)
    await worker.claim()
    await worker.intend(run.run_id, [1, 2])
    await _stop(house, run.run_id, statement)
    shown = await house.run(run.run_id)
    expected = dict.fromkeys(COUNTS, 0) | {"in_progress": 2, status: 3}
    assert {name: shown[name] for name in COUNTS} == expected
    assert (shown["total"], shown["processed"], shown["dispositions"]) == (5, 3, {"not_dialed": 3})
    assert (await house.pool.fetchval("SELECT count(*) FROM outbound_call_jobs WHERE status = 'queued'")) == 3

    async def listed(wanted: str) -> list[Any]:
        return list((await house.ask("GET", f"/api/runs/{run.run_id}/jobs?status={wanted}")).data["data"])

    assert await listed("queued") == []
    jobs = await listed(status)
    assert [job["job_id"] for job in jobs] == list(run.jobs[2:])
    assert {job["disposition"] for job in jobs} == {"not_dialed"}
    assert all(job["ended_at"] for job in jobs)
    assert (await house.ask("GET", f"/api/jobs/{run.jobs[4]}")).data["status"] == status


async def test_the_active_run_is_the_newest_open_one_and_never_a_stale_one(house: House) -> None:
    business = await add_business(house.pool)
    token = await house.key(business)

    async def active() -> Any:
        answer = await house.ask("GET", "/api/outbound_calls/jobs/active", token)
        return answer.data["run_id"] if answer.status == 200 else answer.data["code"]

    assert await active() == "no_active_run"
    old, running = await add_run(house.pool, business, 1), await add_run(house.pool, business, 1)
    assert await active() == running.run_id
    await (await Worker.join(house.pool)).claim()
    assert await active() == running.run_id
    await house.pool.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '31 seconds' WHERE id = $1",
        running.run_id,
    )
    assert await active() == old.run_id
    await _stop(house, old.run_id, "status = 'paused'")
    assert await active() == old.run_id
    await _stop(house, old.run_id, "status = 'stopped'")
    assert await active() == "no_active_run"


async def test_a_job_with_its_attempts_and_their_events(house: House) -> None:
    (attempt,) = await house.attempts()
    call = sid()
    await house.call_status(attempt, news(call, 2, "in-progress"))
    await house.call_status(attempt, news(call, 0, "initiated"))
    await house.callback(f"/webhook/amd_status?attempt={attempt}", {"CallSid": call, "AnsweredBy": "human"})
    await house.call_status(attempt, news(call, 3, "completed", CallDuration="17"))
    job_id = await house.pool.fetchval("SELECT id FROM outbound_call_jobs")
    job = (await house.ask("GET", f"/api/jobs/{job_id}")).data
    assert (job["status"], job["disposition"], job["call_sid"]) == ("completed", "answered", call)
    assert (job["duration_seconds"], job["attempts_made"], job["phone"]) == (17, 1, "+972501200000")
    (shown,) = job["attempts"]
    assert (shown["attempt_id"], shown["state"], shown["slot"]) == (str(attempt), "ended", 1)
    assert [(event["sequence"], event["status"]) for event in shown["events"]] == [
        (0, "initiated"),
        (2, "in-progress"),
        (None, "amd:human"),
        (3, "completed"),
    ]
    assert shown["events"][3]["at"] == "2025-06-02T10:00:03Z"


async def test_a_key_sees_and_does_only_what_is_its_own(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = await add_business(house.pool), await add_business(house.pool)
    member, reader = await house.key(mine), await house.key(mine, "read_only")
    run = await add_run(house.pool, other, 1)
    own = await add_run(house.pool, mine, 1)
    forbidden = [
        ("GET", f"/api/runs/{run.run_id}"),
        ("GET", f"/api/outbound_calls/jobs/{run.run_id}/status"),
        ("GET", f"/api/runs/{run.run_id}/jobs"),
        ("GET", f"/api/jobs/{run.jobs[0]}"),
        ("GET", f"/api/runs?business_id={other}"),
        ("GET", f"/api/outbound_calls/jobs/active?business_id={other}"),
        ("GET", "/api/businesses"),
        ("GET", f"/api/businesses/{mine}"),
        ("PATCH", f"/api/businesses/{mine}"),
        ("POST", f"/api/businesses/{mine}/keys"),
        ("DELETE", "/api/keys/1"),
    ]
    for method, path in forbidden:
        for token in (member, reader):
            assert (await house.ask(method, path, token)).status == 403, path
        assert (await house.ask(method, path, None)).status == 401, path
        assert (await house.ask(method, path, "dk_wrong")).status == 401, path
    logged = capsys.readouterr().out
    assert logged.count("SECURITY") == 3 * len(forbidden)
    assert member not in logged
    assert "dk_wrong" not in logged
    for token in (member, reader, OPERATOR):
        assert (await house.ask("GET", f"/api/runs/{own.run_id}", token)).status == 200

    body = {"leads": [{"phone": "+972501234567"}], "twiml": "<Response/>"}
    assert (await house.ask("POST", "/api/runs", reader, json=body)).status == 403
    assert (await house.ask("POST", "/api/runs", member, json={**body, "business_id": other})).status == 403
    assert (await house.ask("POST", f"/api/runs?business_id={other}", member, json=body)).status == 403
    assert (await house.ask("POST", "/api/runs", member, json={**body, "business_id": mine})).status == 201
    assert (await house.ask("POST", "/api/runs", json={**body, "business_id": 10**9})).status == 404


async def test_a_business_that_the_operator_names_is_the_object_s_own(house: House) -> None:
    mine, other = await add_business(house.pool), await add_business(house.pool)
    run = await add_run(house.pool, mine, 1)
    paths = (f"/api/runs/{run.run_id}", f"/api/runs/{run.run_id}/jobs", f"/api/jobs/{run.jobs[0]}")
    for path in paths:
        assert (await house.ask("GET", f"{path}?business_id={mine}")).status == 200
        assert (await house.ask("GET", f"{path}?business_id={other}")).status == 404
        assert (await house.ask("GET", f"{path}?business_id={other}", await house.key(mine))).status == 403
    assert (await house.ask("GET", "/api/runs?business_id=999")).status == 404
    assert (await house.ask("GET", f"/api/runs?business_id={other}")).data == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("run_id", ["999", "0", "-1", "x", "9223372036854775808", "9" * 30, "%00"])
async def test_unknown_and_malformed_ids_are_not_found(house: House, run_id: str) -> None:
    for path in (f"/api/runs/{run_id}", f"/api/runs/{run_id}/jobs", f"/api/jobs/{run_id}"):
        answer = await house.ask("GET", path)
        assert answer.status == 404
        assert answer.headers["Content-Type"].startswith("application/problem+json")


async def test_every_answer_has_an_id(house: House) -> None:
    assert (await house.ask("GET", "/livez", headers={"X-Request-Id": "mine-1"})).headers[
        "X-Request-Id"
    ] == "mine-1"
    for path, status in (("/livez", 200), ("/nowhere", 404), ("/webhook/call_status", 405)):
        answer = await house.ask("GET", path, headers={"X-Request-Id": "no\u00e9 good"})
        assert answer.status == status
        assert len(answer.headers["X-Request-Id"]) == 32
        if status != 200:
            assert answer.data["status"] == status


@pytest.mark.parametrize(
    ("processed", "total", "shown"), [(0, 0, 0.0), (2, 3, 66.7), (99_999, 100_000, 99.9), (7, 7, 100.0)]
)
def test_a_run_is_at_a_hundred_percent_when_all_of_it_is_done(processed: int, total: int, shown: float) -> None:
    assert percent(processed, total) == shown
