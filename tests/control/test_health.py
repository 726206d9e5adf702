"""GET /api/health: how it stands, for people and for programs that watch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

import sql
from tests.control.house import House
from tests.support.prometheus import Scraped
from tests.support.runs import Worker, add_business, add_run

SHAPE = {
    "status": str,
    "checks": dict,
    "daemons": list,
    "oldest_waiting_job_seconds": float,
    "stale_runs": int,
    "unknown_attempts": int,
}
DAEMON = {
    "id": str,
    "host": str,
    "pid": int,
    "started_at": str,
    "last_seen_at": str,
    "runs": int,
    "live_calls": int,
}


def kinds(shown: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in shown.items()}


async def health(house: House, token: str = "operator-token") -> dict[str, Any]:
    answer = await house.ask("GET", "/api/health", token)
    assert answer.status == 200, answer.text
    shown: dict[str, Any] = answer.data
    return shown


async def dialing(house: House, business_id: int, jobs: int, live: int) -> Worker:
    """A daemon that dials a new run of this business."""
    run = await add_run(house.pool, business_id, jobs)
    await house.pool.execute("UPDATE dialer_daemons SET ended_at = now() WHERE ended_at IS NULL")
    worker = await Worker.join(house.pool)
    await worker.claim()
    await worker.intend(run.run_id, list(range(1, live + 1)))
    return worker


async def test_everything_is_there_and_nothing_else(house: House) -> None:
    await dialing(house, await add_business(house.pool), 2, 1)
    shown = await health(house)
    assert kinds(shown) == SHAPE
    assert shown["checks"] == {"postgres": "ok", "redis": "ok", "schema": "ok"}
    (daemon,) = shown["daemons"]
    assert kinds(daemon) == {**DAEMON, "redis_degraded": bool, "draining": bool}
    assert (await house.ask("GET", "/api/health", None)).data == {"status": "ok"}


async def test_in_peace_nothing_waits(house: House) -> None:
    shown = await health(house)
    assert shown["daemons"] == []
    assert (shown["oldest_waiting_job_seconds"], shown["stale_runs"], shown["unknown_attempts"]) == (None, 0, 0)


async def test_only_jobs_that_may_be_dialed_wait(house: House) -> None:
    business = await add_business(house.pool)
    for number, verb in enumerate(("pause", "cancel", "stop", None)):
        run = await add_run(house.pool, business, 1)
        await house.pool.execute(
            "UPDATE outbound_call_runs SET created_at = now() - make_interval(hours => $2) WHERE id = $1",
            run.run_id,
            5 - number,
        )
        if verb is not None:
            assert (await house.ask("POST", f"/api/runs/{run.run_id}/{verb}")).status == 200
    assert 7_200 <= (await health(house))["oldest_waiting_job_seconds"] < 7_260


async def test_only_daemons_that_live_are_shown(house: House) -> None:
    ended, silent, living = [await Worker.join(house.pool) for _ in range(3)]
    await house.pool.execute(sql.query("end_daemon"), ended.id)
    await house.pool.execute(
        "UPDATE dialer_daemons SET last_seen_at = now() - interval '1 minute' WHERE id = $1", silent.id
    )
    assert [daemon["id"] for daemon in (await health(house))["daemons"]] == [str(living.id)]


async def test_a_business_is_told_only_of_its_own(house: House) -> None:
    mine, other = await add_business(house.pool), await add_business(house.pool)
    await dialing(house, other, 4, 2)
    await house.pool.execute("UPDATE outbound_call_attempts SET state = 'unknown'")
    await house.pool.execute("UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '2 minutes'")
    shown = await health(house, await house.key(mine))
    assert [(daemon["runs"], daemon["live_calls"]) for daemon in shown["daemons"]] == [(0, 0)]
    assert (shown["oldest_waiting_job_seconds"], shown["stale_runs"], shown["unknown_attempts"]) == (None, 0, 0)
    theirs = await health(house, await house.key(other))
    assert [(daemon["runs"], daemon["live_calls"]) for daemon in theirs["daemons"]] == [(1, 2)]
    assert (theirs["stale_runs"], theirs["unknown_attempts"]) == (1, 2)


@pytest.fixture
async def evicting(redis: Redis) -> AsyncIterator[None]:
    before = (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] or "noeviction"
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    yield
    await redis.config_set("maxmemory-policy", before)


async def test_a_redis_that_evicts_is_told_of_and_keeps_nobody_from_working(house: House, evicting: None) -> None:
    answer = await house.ask("GET", "/api/health")
    assert (answer.status, answer.data["status"]) == (503, "degraded")
    assert answer.data["checks"]["redis"] == "maxmemory-policy is allkeys-lru, and must be noeviction"
    assert (await house.ask("GET", "/readyz", None)).status == 200
    figures = Scraped.of((await house.ask("GET", "/metrics", None)).text)
    assert (figures.values("dialer_redis_up"), figures.values("dialer_redis_evicts")) == ([1], [1])
