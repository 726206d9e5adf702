"""Daemons one by one: how one is, and asking it to drain. Its overview of all is in `health`."""

from typing import Any

from aiohttp import web

from control.context import CONTEXT, Context
from control.database import Row
from control.document.payloads import WithReason
from control.requests.answers import answer, moment
from control.requests.auth import Caller
from control.requests.incoming import read_optional_payload, uuid_of
from control.requests.problems import not_found
from dialer.telemetry import logger


async def show(request: web.Request, _: Caller) -> web.Response:
    return answer(await _shown(request.app[CONTEXT], request.match_info["daemon_id"]))


async def drain(request: web.Request, caller: Caller) -> web.Response:
    """It ends by itself when it has heard of it; a second time nothing is asked anew."""
    wanted = await read_optional_payload(request, WithReason)
    context, daemon_id = request.app[CONTEXT], request.match_info["daemon_id"]
    asked: Row | None = await context.database.row(
        "drain_daemon", uuid_of(daemon_id, "daemon"), caller.actor, wanted.reason
    )
    if asked is not None and asked["asked_now"]:
        logger().info("DRAIN_ASKED", daemon=daemon_id, host=asked["host"], pid=asked["pid"], reason=wanted.reason)
    return answer(await _shown(context, daemon_id))


async def _shown(context: Context, daemon_id: str) -> dict[str, Any]:
    found = await context.database.row(
        "show_daemon", uuid_of(daemon_id, "daemon"), context.settings.takeover_after_seconds
    )
    if found is None:
        raise not_found("daemon")
    return {
        "id": str(found["id"]),
        **{name: found[name] for name in ("host", "pid", "state")},
        **{name: moment(found[name]) for name in ("started_at", "last_seen_at", "drain_requested_at")},
    }
