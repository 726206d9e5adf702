"""Probes, and the overview for people."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from aiohttp import web

from control.context import CONTEXT, Context
from control.database import Row
from control.requests.answers import answer, moment
from control.requests.auth import Caller, authenticate
from control.requests.problems import RETRY_AFTER_SECONDS
from dialer.edges.redis_client import AWAY as REDIS_AWAY
from dialer.edges.redis_client import RedisClient
from dialer.errors import TryAgainLater

CHECK_WITHIN_SECONDS = 1.0
OK, AWAY = "ok", "away"

_AWAY = (*REDIS_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


async def livez(_: web.Request) -> web.Response:
    """The loop turns, or this would not be answered."""
    return answer({"status": OK})


async def readyz(request: web.Request) -> web.Response:
    checks = await look(request.app[CONTEXT], _answers)
    return _with_status(checks, {"checks": checks})


async def health(request: web.Request) -> web.Response:
    """Without a token only the status: 200 when all is well, else 503."""
    context = request.app[CONTEXT]
    checks = await look(context, keeps_its_keys)
    if "Authorization" not in request.headers:
        return _with_status(checks, {})
    caller = await authenticate(request)
    return _with_status(checks, {"checks": checks, **await _overview(context, caller, checks)})


async def look(context: Context, redis_check: Callable[[RedisClient], Awaitable[str]]) -> dict[str, str]:
    """Postgres, Redis and the schema, each "ok" or what is wrong with it."""
    schema, redis = await asyncio.gather(_schema(context), _checked(lambda: redis_check(context.redis)))
    # The schema was read from Postgres: what was read proves both.
    return {"postgres": OK if schema in (OK, "behind") else schema, "redis": redis, "schema": schema}


async def _schema(context: Context) -> str:
    return await _checked(lambda: _as_word(context.schema.look()))


async def _as_word(current: Awaitable[bool]) -> str:
    return OK if await current else "behind"


async def _answers(redis: RedisClient) -> str:
    await redis.ping()
    return OK


async def keeps_its_keys(redis: RedisClient) -> str:
    """Eviction would lose slots and tickets: rebuilt in time, but a person should know."""
    await redis.ping()
    wrong = await redis.eviction_policies() - {"noeviction"}
    return f"maxmemory-policy is {min(wrong)}, and must be noeviction" if wrong else OK


async def _checked(check: Callable[[], Awaitable[str]]) -> str:
    try:
        async with asyncio.timeout(CHECK_WITHIN_SECONDS):
            return await check()
    except _AWAY as error:
        return f"{AWAY} ({type(error).__name__})"


def _with_status(checks: dict[str, str], shown: dict[str, Any]) -> web.Response:
    if all(result == OK for result in checks.values()):
        return answer({"status": OK, **shown})
    # Without Redis calls still go on, only slower.
    status = "degraded" if checks["schema"] == OK else "down"
    return answer({"status": status, **shown}, 503, **{"Retry-After": str(RETRY_AFTER_SECONDS)})


async def _overview(context: Context, caller: Caller, checks: dict[str, str]) -> dict[str, Any]:
    figures: Row | dict[str, None] = dict.fromkeys(
        ("oldest_waiting_job_seconds", "stale_runs", "unknown_attempts")
    )
    daemons: list[Row] = []
    if checks["schema"] == OK:
        settings = context.settings
        try:
            daemons = await context.database.rows(
                "daemons_alive", settings.takeover_after_seconds, caller.business_id
            )
            figures = await context.database.row(
                "health_figures", caller.business_id, settings.stale_after_seconds
            )
        except TryAgainLater:
            pass  # it went away just now: what is known is shown
    return {"daemons": [_daemon(row) for row in daemons], **dict(figures)}


def _daemon(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        **{name: row[name] for name in ("host", "pid", "runs", "live_calls", "redis_degraded", "draining")},
        "started_at": moment(row["started_at"]),
        "last_seen_at": moment(row["last_seen_at"]),
    }
