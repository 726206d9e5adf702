"""What people do meanwhile, over HTTP, to whichever control answers."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import aiohttp
import asyncpg

from tests.soak.acts import Act
from tests.soak.world import RING_SECONDS, TIME_LIMIT_SECONDS, Business, World
from tests.system.stack import TOKEN, TWIML

# Enough to keep every slot busy, and few enough to be through with in the end.
MOST_QUEUED = 120
MOST_LIMIT = 8
RETRIED = ("busy", "no_answer", "failed", "canceled", "not_dialed", "unknown")
TRIES = 4


async def ask(world: World, method: str, path: str, body: dict[str, Any], key: str = "") -> dict[str, Any] | None:
    """The answer of a 2xx; None when nobody took it in after some tries, or it was refused."""
    headers = {"Authorization": f"Bearer {TOKEN}", **({"Idempotency-Key": key} if key else {})}
    for _ in range(TRIES):
        url = world.chance.choice(world.urls) + path
        try:
            async with world.system.http.request(method, url, json=body, headers=headers) as answer:
                if answer.status < 300:
                    return dict(await answer.json())
                if answer.status < 500:
                    return None
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        await asyncio.sleep(0.3)
    return None


async def start_run(world: World, business: Business, jobs: int) -> dict[str, Any] | None:
    body = {
        "business_id": business.business_id,
        "leads": [{"phone": phone} for phone in world.next_phones(jobs)],
        "twiml": TWIML,
        "from_number": business.from_number,
        "concurrency": world.chance.choice([1, 3, 100]),
        "ring_timeout_seconds": RING_SECONDS,
        "call_time_limit_seconds": TIME_LIMIT_SECONDS,
    }
    return await ask(world, "POST", "/api/runs", body, key=uuid.uuid4().hex)


async def run_started(world: World) -> bool:
    """Keep everybody supplied; not more than can be dialed in the end."""
    queued = await _value(world, "SELECT coalesce(sum(queued), 0) FROM outbound_call_run_counters")
    if queued is None or queued > MOST_QUEUED:
        return False
    business = world.chance.choice(world.businesses)
    return await start_run(world, business, world.chance.randint(3, 30)) is not None


async def limit_changed(world: World) -> bool:
    business, limit = world.chance.choice(world.businesses), world.chance.randint(1, MOST_LIMIT)
    # From now on it may be in force, whatever the answer says, or whether there is one.
    world.limits[business.business_id].append((time.monotonic(), limit))
    path = f"/api/businesses/{business.business_id}"
    return await ask(world, "PATCH", path, {"max_concurrent_calls": limit}) is not None


def to_a_run(action: str, weight: int, *, final: bool, **body: Any) -> Act:
    """Something done to a run that is open. `final`: no intent may follow the answer."""

    async def act(world: World) -> bool:
        run = await _some_run(world, "status IN ('pending', 'running')")
        if run is None or await ask(world, "POST", f"/api/runs/{run}/{action}", body) is None:
            return False
        now = await _value(world, "SELECT clock_timestamp()")
        if final and now is not None:
            world.stopped.setdefault(run, now)
        return True

    return Act(f"operator: {action}{' and hang up' if body else ''}", weight, act)


async def paused_for_a_while(world: World) -> bool:
    run = await _some_run(world, "status IN ('pending', 'running') AND NOT cancel_requested")
    if run is None or await ask(world, "POST", f"/api/runs/{run}/pause", {}) is None:
        return False
    await asyncio.sleep(world.chance.uniform(0.2, 3.0))
    await ask(world, "POST", f"/api/runs/{run}/resume", {})
    return True


async def resumed(world: World) -> bool:
    """A run that was left paused: by its refusals, or by an answer that was lost."""
    run = await _some_run(world, "status = 'paused'")
    return run is not None and await ask(world, "POST", f"/api/runs/{run}/resume", {}) is not None


async def retried(world: World) -> bool:
    run = await _some_run(world, "status IN ('completed', 'stopped', 'cancelled', 'failed')")
    only = world.chance.sample(RETRIED, 3)
    if run is None:
        return False
    return await ask(world, "POST", f"/api/runs/{run}/retry", {"only": only}, key=uuid.uuid4().hex) is not None


async def _some_run(world: World, which: str) -> int | None:
    ids: list[int] | None = await _value(
        world, f"SELECT array_agg(id ORDER BY id) FROM outbound_call_runs WHERE {which}"
    )
    return world.chance.choice(ids) if ids else None


async def _value(world: World, statement: str) -> Any:
    """Of the database, past everything that is broken; None while it is away itself."""
    try:
        return await world.system.db.fetchval(statement)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


ACTS = (
    Act("operator: start", 60, run_started),
    Act("operator: change of limit", 4, limit_changed),
    Act("operator: pause, resume", 4, paused_for_a_while),
    Act("operator: resume", 2, resumed),
    Act("operator: retry", 4, retried),
    to_a_run("cancel", 2, final=True),
    to_a_run("stop", 2, final=True),
    to_a_run("force-cancel", 1, final=True),
    to_a_run("force-cancel", 1, final=True, hangup=True),
)
