"""The composition root of control, and its routes."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from pydantic import SecretStr

from control import businesses, callbacks, health, jobs, keys, runs, start
from control.auth import Access, GuardedHandler, guarded
from control.context import CONTEXT, Context
from control.database import Database
from control.hints import Hints
from control.incoming import named_requests, show_request_id
from control.problems import Handler, errors_as_problems, unavailable
from control.schema import Schema
from control.signature import Verifier
from dialer.config import Settings
from dialer.edges import wakeup
from dialer.errors import CheckYourSettings

READ, WRITE, OPERATOR = Access.READ, Access.WRITE, Access.OPERATOR

PROBES: tuple[tuple[str, Handler], ...] = (
    ("/livez", health.livez),
    ("/readyz", health.readyz),
    ("/api/health", health.health),
)

# Signed by the carrier.
CALLBACKS: tuple[tuple[str, Handler], ...] = (
    ("/webhook/call_status", callbacks.call_status),
    ("/webhook/outbound_call", callbacks.outbound_call),
)

# For bearers of a token.
ROUTES: tuple[tuple[str, str, GuardedHandler, Access], ...] = (
    ("POST", "/api/outbound_calls/start", start.start_run, WRITE),
    ("POST", "/api/runs", start.start_run, WRITE),
    ("GET", "/api/outbound_calls/jobs/active", runs.active, READ),
    ("GET", "/api/outbound_calls/jobs/{run_id}/status", runs.show, READ),
    ("GET", "/api/runs", runs.page, READ),
    ("GET", "/api/runs/{run_id}", runs.show, READ),
    ("GET", "/api/runs/{run_id}/jobs", jobs.page, READ),
    ("GET", "/api/jobs/{job_id}", jobs.show, READ),
    ("POST", "/api/businesses", businesses.create, OPERATOR),
    ("GET", "/api/businesses", businesses.page, OPERATOR),
    ("GET", "/api/businesses/{business_id}", businesses.show, OPERATOR),
    ("PATCH", "/api/businesses/{business_id}", businesses.change, OPERATOR),
    ("POST", "/api/businesses/{business_id}/keys", keys.create, OPERATOR),
    ("GET", "/api/businesses/{business_id}/keys", keys.page, OPERATOR),
    ("DELETE", "/api/keys/{key_id}", keys.revoke, OPERATOR),
)


def build(settings: Settings) -> web.Application:
    """The application. It asks nothing of anybody before it runs; the settings must hold REQUIRED of __main__."""
    app = web.Application(middlewares=[named_requests, errors_as_problems, only_with_schema])
    app[CONTEXT] = _context(settings)
    for path, probe in PROBES:
        app.router.add_get(path, probe)
    for path, callback in CALLBACKS:
        app.router.add_post(path, callback)
    for method, path, handler, access in ROUTES:
        app.router.add_route(method, path, guarded(handler, access))
    app.on_response_prepare.append(show_request_id)
    app.cleanup_ctx.append(_running)
    return app


@web.middleware
async def only_with_schema(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Until the schema is there, the probes and nothing else."""
    if not request.app[CONTEXT].schema.current and request.path not in dict(PROBES):
        raise unavailable("schema_not_ready", "the database is not migrated yet; try again")
    return await handler(request)


def _context(settings: Settings) -> Context:
    database = Database(_secret(settings.database_url))
    redis = wakeup.client(_secret(settings.redis_url))
    return Context(
        settings,
        database,
        redis,
        Hints(redis, database),
        Schema(settings, database),
        Verifier(_secret(settings.twilio_auth_token), settings.callback_base_url),
    )


def _secret(value: SecretStr | None) -> str:
    if value is None:
        raise CheckYourSettings("DATABASE_URL, REDIS_URL and TWILIO_AUTH_TOKEN must be set")
    return value.get_secret_value()


async def _running(app: web.Application) -> AsyncIterator[None]:
    """Opens what the application needs, and closes it in the opposite order."""
    context = app[CONTEXT]
    await context.database.open()
    schema = context.schema.start()
    hints = asyncio.create_task(context.hints.run(), name="hints")
    try:
        yield
    finally:
        await context.hints.flush()
        await context.chores.close()
        for task in (schema, hints):
            task.cancel()
        await asyncio.gather(schema, hints, return_exceptions=True)
        await context.redis.aclose()
        await context.database.close()
