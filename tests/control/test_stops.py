"""Cancel, force-cancel, stop, pause and resume over HTTP: their answers, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.control.house import House, news, sid
from tests.control.stopping import ALL_PATHS, EVENTS, PATHS, dialing, do, expected, swept
from tests.support.runs import add_business, add_run
from tests.support.waiting import eventually


@pytest.mark.parametrize(("action", "path"), [(a, p) for a, p in ALL_PATHS if a not in ("pause", "resume")])
async def test_the_whole_answer_and_the_same_again_with_zeros(house: House, action: str, path: str) -> None:
    run, worker, _ = await dialing(house, 5, 0)
    first = await do(house, path, run.run_id)
    status = "stopped" if action == "stop" else "cancelled"
    assert (first.status, first.data) == (200, expected(action, run.run_id, 5, status))
    await swept(house, run)
    before = await house.pool.fetch("SELECT * FROM outbound_call_runs, outbound_call_jobs, audit_log")
    again = await do(house, path, run.run_id)
    assert (again.status, again.data) == (200, expected(action, run.run_id, 0, status))
    assert await house.pool.fetch("SELECT * FROM outbound_call_runs, outbound_call_jobs, audit_log") == before
    assert [row["verdict"] for row in await worker.intend(run.run_id, [1])] == ["lost"]
    job = await house.pool.fetchrow("SELECT status, disposition FROM outbound_call_jobs LIMIT 1")
    assert tuple(job) == ("failed" if action == "force_cancel" else "cancelled", "not_dialed")


@pytest.mark.parametrize("other", ["cancel", "force_cancel", "stop"])
@pytest.mark.parametrize("ended", ["completed", "stopped", "cancelled", "failed"])
async def test_an_ended_run_keeps_its_status(house: House, ended: str, other: str) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 2)
    await house.pool.execute("UPDATE outbound_call_runs SET status = $2 WHERE id = $1", run.run_id, ended)
    answer = await do(house, PATHS[other][0], run.run_id)
    want = expected(other, run.run_id, 0, ended)
    if other == "cancel":
        want["cancel_requested"] = False
    assert (answer.status, answer.data) == (200, want)


async def test_a_cancel_with_live_calls_waits_for_them_and_counts_on(house: House) -> None:
    run, _, [first, second] = await dialing(house, 5, 2)
    answer = await do(house, PATHS["cancel"][0], run.run_id)
    assert answer.data == {
        "run_id": run.run_id,
        "status": "running",
        "cancel_requested": True,
        "jobs_cancelled": 3,
    }
    shown = await house.run(run.run_id)
    assert (shown["queued"], shown["in_progress"], shown["cancelled"], shown["total"]) == (0, 2, 3, 5)
    assert (shown["cancel_requested"], shown["can_cancel"], shown["locked_by_worker"]) == (True, False, None)
    active = await house.ask("GET", f"/api/outbound_calls/jobs/active?business_id={run.business_id}")
    assert active.data["run_id"] == run.run_id
    again = await do(house, PATHS["cancel"][0], run.run_id)
    assert (again.data["status"], again.data["jobs_cancelled"]) == ("running", 0)
    assert (await do(house, PATHS["pause"][0], run.run_id)).data["code"] == "cancel_requested"
    await house.call_status(first, news(sid(), 3, "completed"))
    assert (await house.run(run.run_id))["status"] == "running"
    await house.call_status(second, news(sid(), 3, "busy"))
    shown = await house.run(run.run_id)
    assert (shown["status"], shown["completed"], shown["failed"], shown["cancelled"]) == ("cancelled", 1, 1, 3)
    assert shown["ended_at"] is not None
    await swept(house, run)


@pytest.mark.parametrize("action", ["force_cancel", "stop"])
async def test_live_calls_of_an_ended_run_go_on_counting_in_it(house: House, action: str) -> None:
    run, _, [live] = await dialing(house, 3, 1)
    assert (await do(house, PATHS[action][0], run.run_id)).status == 200
    slots = await house.pool.fetchval("SELECT count(*) FROM outbound_call_attempts WHERE ended_at IS NULL")
    assert slots == 1, "the slot of a call that may be live is never released"
    await house.call_status(live, news(sid(), 3, "completed"))
    shown = await house.run(run.run_id)
    assert (shown["completed"], shown["in_progress"], shown["total"]) == (1, 0, 3)
    assert shown["status"] == ("stopped" if action == "stop" else "cancelled")
    await swept(house, run)


async def test_a_stop_of_a_cancel_under_way_ends_it_and_claims_no_job_twice(house: House) -> None:
    run, _, _ = await dialing(house, 5, 1)
    await do(house, PATHS["cancel"][0], run.run_id)
    answer = await do(house, PATHS["stop"][0], run.run_id)
    assert answer.data == expected("stop", run.run_id, 0, "stopped")
    assert (await house.run(run.run_id))["cancelled"] == 4
    await swept(house, run)


async def test_pause_and_resume(house: House) -> None:
    run, worker, [live] = await dialing(house, 3, 1)
    await house.pool.execute("UPDATE outbound_call_runs SET last_error = 'carrier 21210'")
    paused = await do(house, PATHS["pause"][0], run.run_id)
    assert (paused.status, paused.data) == (200, await house.run(run.run_id))
    assert (paused.data["status"], paused.data["locked_by_worker"]) == ("paused", None)
    assert (paused.data["last_heartbeat_at"], paused.data["in_progress"]) == (None, 1)
    again = await do(house, PATHS["pause"][0], run.run_id)
    assert (again.status, again.data) == (200, paused.data)
    assert await worker.claim(takeover=0.001) == []
    await house.call_status(live, news(sid(), 3, "completed"))
    resumed = await do(house, PATHS["resume"][0], run.run_id)
    assert (resumed.status, resumed.data["status"], resumed.data["last_error"]) == (200, "pending", None)
    twice = await do(house, PATHS["resume"][0], run.run_id)
    assert (twice.status, twice.data["code"]) == (409, "run_not_paused")
    worker.epochs.clear()
    assert [row["resumed"] for row in await worker.claim()] == [True]
    assert (await do(house, PATHS["resume"][0], run.run_id)).data["code"] == "run_not_paused"
    await do(house, PATHS["stop"][0], run.run_id)
    for action in ("pause", "resume"):
        refused = await do(house, PATHS[action][0], run.run_id)
        assert (refused.status, refused.data["code"]) == (409, "run_ended")
    await swept(house, run)


async def test_a_paused_run_whose_last_call_ends_is_completed(house: House) -> None:
    run, _, [live] = await dialing(house, 1, 1)
    await do(house, PATHS["pause"][0], run.run_id)
    await house.call_status(live, news(sid(), 3, "completed"))
    assert (await house.run(run.run_id))["status"] == "completed"


@pytest.mark.parametrize(("action", "path"), ALL_PATHS)
async def test_who_may_and_what_exists(house: House, action: str, path: str) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 2)
    other = await add_business(house.pool)
    member, reader = await house.key(other), await house.key(run.business_id, "read_only")
    assert (await do(house, path, run.run_id, token=member)).status == 403
    assert (await do(house, path, run.run_id, token=reader)).data["code"] == "read_only"
    assert (await house.ask("POST", path.format(run.run_id), None)).status == 401
    for unknown in (run.run_id + 1, 10**18, 10**19, 0, "nonsense"):
        answer = await do(house, path, unknown)
        assert (answer.status, answer.data["code"]) == (404, "not_found"), unknown
    elsewhere = await do(house, path, run.run_id, business_id=other)
    assert elsewhere.status == 404, "the operator named another business"
    for wrong in ({"reson": "x"}, {"reason": 7}, {"reason": "x" * 501}, {"reason": "\0"}):
        assert (await do(house, path, run.run_id, **wrong)).status == 422
    assert (await house.run(run.run_id))["status"] == "pending"
    assert await house.pool.fetchval("SELECT count(*) FROM audit_log WHERE run_id = $1", run.run_id) == 0


async def test_a_stop_queue_without_a_run_or_a_body_is_invalid(house: House) -> None:
    for body in ({}, {"run_id": None}, {"run_id": True}, {"run_id": 1.5}):
        assert (await house.ask("POST", "/api/outbound/stop-queue", json=body)).status == 422
    assert (await house.ask("POST", "/api/outbound/stop-queue")).status == 415
    assert (await house.ask("POST", "/api/runs/1/cancel", data=b"reason=x")).status == 415


@pytest.mark.parametrize("action", ["cancel", "force_cancel", "stop", "pause"])
async def test_who_did_what_and_why_is_kept_and_logged_once(house: House, action: str) -> None:
    run, _, _ = await dialing(house, 3, 1)
    token = await house.key(run.business_id)
    with capture_logs() as logs:
        for _ in range(2):
            assert (await do(house, PATHS[action][0], run.run_id, token=token, reason="too late")).status == 200
    [line] = [entry for entry in logs if entry["event"] == EVENTS[action]]
    [row] = await house.pool.fetch("SELECT * FROM audit_log WHERE run_id = $1", run.run_id)
    for record in (line, row):
        assert (record["run_id"], record["business_id"]) == (run.run_id, run.business_id)
        assert (record["reason"], record["actor"].startswith("key:")) == ("too late", True)
    assert row["action"] == action
    if action != "pause":
        assert json.loads(row["details"])["jobs"] == line["jobs"] == 2


async def test_the_daemons_are_told_after_the_commit(house: House, redis: Any) -> None:
    run, _, _ = await dialing(house, 3, 0)
    namespace = await house.pool.fetchval("SELECT id FROM installation")
    async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(f"dialer:{namespace}:hints")
        await do(house, PATHS["pause"][0], run.run_id)

        async def heard() -> Any:
            return await pubsub.get_message(timeout=0.1)

        message = await eventually(heard)
    hint = json.loads(message["data"])
    assert hint == {"kind": "run", "business_id": run.business_id, "run_id": run.run_id}


@pytest.mark.parametrize("action", ["cancel", "force_cancel", "stop", "pause"])
async def test_no_intent_after_the_answer_while_a_daemon_hammers(house: House, action: str) -> None:
    """Whatever was written by then was written before the answer, and the figures in it are final."""
    run, worker, _ = await dialing(house, 400, 0)
    hammered = asyncio.Event()
    verdicts: list[str] = []

    async def hammer() -> None:
        slot = 0
        while verdicts[-1:] != ["lost"]:
            slot += 1
            [row] = await worker.intend(run.run_id, [slot])
            verdicts.append(row["verdict"])
            if slot == 5:
                hammered.set()

    hammering = asyncio.create_task(hammer())
    await asyncio.wait_for(hammered.wait(), 5)
    answer = await do(house, PATHS[action][0], run.run_id)
    answered = await house.pool.fetchval("SELECT clock_timestamp()")
    written = await house.pool.fetchval("SELECT count(*) FROM outbound_call_attempts")
    await asyncio.wait_for(hammering, 5)
    assert 5 <= verdicts.count("intent") == written < 100
    assert await house.pool.fetchval("SELECT max(created_at) FROM outbound_call_attempts") <= answered
    if action == "pause":
        assert answer.data["queued"] == 400 - written
        return
    jobs = answer.data["cancelled_jobs" if action == "stop" else "jobs_cancelled"]
    assert jobs == 400 - written
    await swept(house, run)
    given_up = await house.pool.fetchval(
        "SELECT count(*) FROM outbound_call_jobs WHERE disposition = 'not_dialed'"
    )
    assert given_up == jobs
    assert not await house.pool.fetchval(
        """SELECT count(*) FROM outbound_call_attempts a JOIN outbound_call_jobs j ON j.id = a.job_id
           WHERE j.disposition = 'not_dialed'"""
    )


async def test_many_stops_at_once_share_one_set_of_figures(house: House) -> None:
    run, _, _ = await dialing(house, 50, 1)
    paths = [path for action, path in ALL_PATHS if action in ("cancel", "force_cancel", "stop")] * 4
    answers = await asyncio.gather(*(do(house, path, run.run_id) for path in paths))
    assert {answer.status for answer in answers} == {200}
    counted = [a.data.get("jobs_cancelled", a.data.get("cancelled_jobs")) for a in answers]
    assert sorted(counted) == [0] * (len(paths) - 1) + [49]
    await swept(house, run)
