"""The composition root of control."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from aiohttp import web
from pydantic import SecretStr

from control.carrier.signature import Verifier
from control.context import CONTEXT, Context
from control.database import REFUSED, Database
from control.document.openapi import DOCUMENT, document, routes_of
from control.events.changes import Changes
from control.events.watcher import Watcher
from control.hints import Hints, Installation
from control.probes.metrics import counted
from control.probes.metrics_kept import Metrics
from control.pruner import Keep, Pruner
from control.requests.auth import guarded
from control.requests.incoming import named_requests, show_request_id
from control.requests.limits import Limits
from control.requests.parameters import only_known
from control.requests.problems import Handler, errors_as_problems, only_continue, unavailable
from control.requests.readers import LOOK_EVERY_SECONDS as LOOK_AT_READERS_EVERY_SECONDS
from control.resources import jobs, runs
from control.routes import CALLBACKS, PROBES, ROUTES
from control.schema import Schema
from control.stopping.hangups import Hangups
from control.stopping.reaper import Reaper
from control.stopping.sweeper import Sweeper
from dialer.config import Settings
from dialer.edges import wakeup
from dialer.edges.shelf import open_shelf
from dialer.errors import CheckYourSettings, DatabaseAway
from dialer.intake import NO_EVENTS, Intake
from dialer.rhythm import Rhythm, report
from dialer.telemetry import logger

SWEEP_EVERY_SECONDS = 2.0
HANG_UP_EVERY_SECONDS = 1.0
PRUNE_EVERY_SECONDS = 600.0


def build(settings: Settings) -> web.Application:
    """The application. It asks nothing of anybody before it runs; the settings must hold REQUIRED of __main__."""
    app = web.Application(middlewares=[counted, named_requests, errors_as_problems, only_with_schema])
    app[CONTEXT] = _context(settings)
    for path, probe in PROBES:
        app.router.add_get(path, probe)
    for path, callback in CALLBACKS:
        app.router.add_post(path, callback, expect_handler=only_continue)
    for method, path, handler, access in ROUTES:
        app.router.add_route(method, path, guarded(only_known(handler), access), expect_handler=only_continue)
    app[DOCUMENT] = document(routes_of(PROBES, CALLBACKS, ROUTES))
    app.on_response_prepare.append(show_request_id)
    app.on_response_prepare.append(app[CONTEXT].readers.see)
    app.on_shutdown.append(_let_listeners_go)
    app.cleanup_ctx.append(_running)
    return app


@web.middleware
async def only_with_schema(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Until the schema is there, the probes and nothing else."""
    if not request.app[CONTEXT].schema.current and request.path not in dict(PROBES):
        raise unavailable("schema_not_ready", "the database is not migrated yet; try again")
    return await handler(request)


def _context(settings: Settings) -> Context:
    database = Database(_secret(settings.database_url), settings.database_statement_cache_size)
    redis = wakeup.client(_secret(settings.redis_url))
    watcher = Watcher(database, show_run=runs.as_shown, show_job=jobs.as_shown)
    installation = Installation(database)
    changes = Changes(
        redis, _secret(settings.redis_url), installation, heard=watcher.heard, missed=watcher.look_again
    )
    hints = Hints(redis, installation, changes.note_hint)
    metrics = Metrics()
    return Context(
        settings,
        database,
        redis,
        hints,
        Schema(settings, database),
        Verifier(_secret(settings.twilio_auth_token), settings.callback_base_url),
        Hangups(settings, database, hints, metrics.tally),
        Reaper(
            database,
            hints,
            stale_seconds=settings.stale_after_seconds,
            resume_seconds=settings.resume_within_seconds,
            stopped=metrics.stale_stopped,
        ),
        Rhythm("sweep", SWEEP_EVERY_SECONDS, Sweeper(database).sweep),
        metrics=metrics,
        intake=Intake(database.rows, take_apart_on=REFUSED),
        changes=changes,
        watcher=watcher,
        limits=Limits(settings.rate_limit_per_second),
        shelf=open_shelf(settings),
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
    loops = [asyncio.create_task(_after(schema, loop), name="loop") for loop in _loops(context)]
    # Beside the loops: what they have to do at the start does not wait for it.
    warming = asyncio.create_task(_after(schema, partial(warm_up, context.database)), name="warming")
    for task in (hints, warming, *loops):
        task.add_done_callback(report)  # no loop ends by itself: a fault that ended one must be seen
    try:
        yield
    finally:
        await _ended([warming, *loops])
        await context.hangups.close()
        await context.hints.flush()
        await context.chores.close()
        await context.shelf.close()
        await _ended([schema, hints])
        await context.redis.aclose()
        await context.database.close()


async def warm_up(database: Database) -> None:
    """Open connections before callbacks wait for them, if that can be done now."""
    try:
        await database.warm(NO_EVENTS)
    except DatabaseAway as error:  # who needs connections opens them, and says what is wrong
        logger().debug("connections are cold", error=str(error))


def _loops(context: Context) -> list[Callable[[], Awaitable[None]]]:
    """What this process does by itself, again and again; several controls may."""
    reaper, hangups = context.reaper, context.hangups
    return [
        Rhythm("reap", reaper.look_every_seconds, reaper.look).run,
        Rhythm("hang up", HANG_UP_EVERY_SECONDS, hangups.look).run,
        context.sweeps.run,
        context.changes.tell,
        context.changes.hear,
        context.watcher.run,
        Rhythm("readers", LOOK_AT_READERS_EVERY_SECONDS, context.readers.look).run,
        Rhythm("prune", PRUNE_EVERY_SECONDS, Pruner(context.database, Keep.of(context.settings)).prune).run,
    ]


async def _let_listeners_go(app: web.Application) -> None:
    """A signal of aiohttp, at the begin of a stop: streams do not end by themselves."""
    await app[CONTEXT].watcher.close()


async def _after(schema: asyncio.Task[None], loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop once the schema is there. Without one the process ends: see `serve` in __main__."""
    await asyncio.wait([schema])
    if not schema.cancelled() and schema.exception() is None:
        await loop()


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
