"""What control does while something that it depends on is away, and when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control.requests.problems import RETRY_AFTER_SECONDS
from sql.migrate import migrate
from tests.control.gate import Gate, gate_before
from tests.control.house import Answer, House, news, sid
from tests.support.runs import Worker, add_business, add_run
from tests.support.waiting import eventually


@pytest.fixture
async def gate(database: str) -> AsyncIterator[Gate]:
    async with gate_before(database) as opened:
        yield opened


def _is_refused_for_now(answer: Answer) -> bool:
    return answer.status == 503 and answer.headers["Retry-After"] == str(RETRY_AFTER_SECONDS)


async def _status_becomes(house: House, path: str, status: int, timeout: float = 5) -> None:
    async def is_it() -> bool:
        return (await house.ask("GET", path, None)).status == status

    await eventually(is_it, timeout=timeout, description=f"{path} answers {status}")


async def test_it_waits_for_the_schema_and_goes_on_by_itself(
    open_house: Any, empty_database: str, redis_url: str
) -> None:
    house = await open_house(empty_database, redis_url)
    assert (await house.ask("GET", "/livez", None)).status == 200
    ready = await house.ask("GET", "/readyz", None)
    assert ready.status == 503
    assert ready.data["checks"] == {"postgres": "ok", "redis": "ok", "schema": "behind"}
    for method, path in (("GET", "/api/runs"), ("POST", "/api/runs"), ("POST", "/webhook/call_status?attempt=1")):
        assert _is_refused_for_now(await house.ask(method, path))
    await migrate(empty_database)
    await _status_becomes(house, "/readyz", 200)
    await house.ready()
    assert (await house.ask("GET", "/api/runs")).status == 200


async def test_it_applies_the_migrations_when_told_to(
    open_house: Any, empty_database: str, redis_url: str
) -> None:
    house = await open_house(empty_database, redis_url, RUN_MIGRATIONS="1")
    await house.ready()
    assert (await house.ask("GET", "/readyz", None)).status == 200


@pytest.mark.parametrize("run_migrations", ["0", "1"])
async def test_postgres_may_be_away_at_start(
    open_house: Any, gate: Gate, redis_url: str, run_migrations: str
) -> None:
    await gate.shut()
    house = await open_house(gate.dsn, redis_url, RUN_MIGRATIONS=run_migrations)
    assert (await house.ask("GET", "/livez", None)).status == 200
    assert (await house.ask("GET", "/readyz", None)).data["checks"]["redis"] == "ok"
    assert _is_refused_for_now(await house.ask("GET", "/api/runs"))
    await gate.open()
    await house.ready()
    assert (await house.ask("GET", "/readyz", None)).status == 200


async def test_postgres_may_go_away_and_come_back(open_house: Any, gate: Gate, redis_url: str) -> None:
    house = await (await open_house(gate.dsn, redis_url)).ready()
    (attempt,) = await house.attempts()
    key = await house.key(await house.business())
    await gate.shut()
    event = news(sid(), 3, "busy")
    asked = time.monotonic()
    assert _is_refused_for_now(await house.call_status(attempt, event))
    assert time.monotonic() - asked < 5
    for token in (key, "operator-token"):
        assert _is_refused_for_now(await house.ask("GET", "/api/runs", token))
    assert _is_refused_for_now(await house.start(1, ["+972501234567"]))
    assert (await house.ask("GET", "/livez", None)).status == 200
    health = await house.ask("GET", "/api/health")
    assert (health.status, health.data["status"]) == (503, "down")
    assert health.data["checks"]["redis"] == "ok"
    # Nobody without the token is told anything by a signature that is wrong, database or not.
    assert (await house.callback(f"/webhook/call_status?attempt={attempt}", event, "x")).status == 403

    await gate.open()
    assert (await house.call_status(attempt, event)).status == 204
    assert await house.pool.fetchval("SELECT status FROM outbound_call_jobs") == "failed"
    assert (await house.ask("GET", "/readyz", None)).status == 200


async def test_a_killed_backend_costs_no_callback(open_house: Any, gate: Gate, redis_url: str) -> None:
    """However many there are: the first that proves dead tells of the others."""
    house = await (await open_house(gate.dsn, redis_url)).ready()
    (attempt,) = await house.attempts()
    call = sid()
    await asyncio.gather(*(house.ask("GET", "/api/runs") for _ in range(8)))
    for number, status in enumerate(("initiated", "ringing", "in-progress", "completed")):
        await house.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'"
        )
        assert (await house.call_status(attempt, news(call, number, status))).status == 204


async def test_without_redis_everything_works_but_the_probes_say_so(open_house: Any, database: str) -> None:
    house = await (await open_house(database, "unix:///nowhere/redis.sock")).ready()
    (attempt,) = await house.attempts()
    asked = time.monotonic()
    for _ in range(20):
        assert (await house.call_status(attempt, news(sid(), 3, "completed"))).status == 204
    assert time.monotonic() - asked < 2
    ready = await house.ask("GET", "/readyz", None)
    assert ready.status == 503
    assert ready.data["checks"] == {"postgres": "ok", "redis": "away (ConnectionError)", "schema": "ok"}
    assert (await house.ask("GET", "/api/health", None)).data == {"status": "degraded"}


async def test_health_shows_what_is_going_on(house: House) -> None:
    business, other = await add_business(house.pool), await add_business(house.pool)
    run = await add_run(house.pool, business, 3)
    await add_run(house.pool, other, 1)
    worker = await Worker.join(house.pool)
    await worker.claim()
    await worker.intend(run.run_id, [1, 2])
    await house.pool.execute("UPDATE outbound_call_attempts SET state = 'unknown' WHERE slot = 2")
    await house.pool.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '2 minutes' WHERE business_id = $1",
        other,
    )
    assert (await house.ask("GET", "/api/health", None)).data == {"status": "ok"}
    assert (await house.ask("GET", "/api/health", "wrong")).status == 401
    health = (await house.ask("GET", "/api/health")).data
    (daemon,) = health["daemons"]
    assert (daemon["id"], daemon["runs"], daemon["live_calls"]) == (str(worker.id), 2, 2)
    assert 0 <= health["oldest_waiting_job_seconds"] < 60
    assert (health["stale_runs"], health["unknown_attempts"]) == (1, 1)
    own = (await house.ask("GET", "/api/health", await house.key(other))).data
    assert (own["stale_runs"], own["unknown_attempts"]) == (1, 0)
