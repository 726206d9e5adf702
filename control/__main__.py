"""`python -m control`: the HTTP side as a process. Ends with 0 on SIGTERM or SIGINT, 1 when it cannot go on."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Callable

from aiohttp import web

from control.app import build
from control.carrier.signature import Verifier
from control.context import CONTEXT
from control.requests.malformed import answer_politely
from control.requests.patience import HEAD_WITHIN_SECONDS
from dialer import crashpoints, telemetry
from dialer.config import Settings, load
from dialer.errors import CheckYourSettings
from dialer.liveness import Liveness
from dialer.rhythm import cancelled
from dialer.telemetry import logger
from sql.migrate import MigrationFailed, MigrationRefused

REQUIRED = ("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN", "DIALER_ADMIN_TOKEN")
FINISH_WITHIN_SECONDS = 4.0
# Large lists are read in threads; the loop, which answers callbacks, gets its turn after this long.
SWITCH_SECONDS = 0.001

DONE, FAILED, BAD_USAGE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    argparse.ArgumentParser(prog="python -m control", description=__doc__).parse_args(arguments)
    try:
        settings = load(require=REQUIRED)
    except CheckYourSettings as fault:
        print(fault, file=sys.stderr)
        return BAD_USAGE
    telemetry.set_up(settings.log_level, settings.log_format)
    crashpoints.arm(settings.dialer_crash_points)
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Open, serve, drain, close."""
    stop = asyncio.Event()
    liveness = Liveness(settings, "the schema")
    living = asyncio.create_task(liveness.run(), name="liveness")
    _on_signals(stop.set, liveness.stopping)
    app = build(settings)
    runner = runner_of(app)
    await runner.setup()
    answer_politely(runner.server)
    # What is there by now stays: the collector need not go through it again and again while callbacks wait.
    gc.freeze()
    try:
        url = await _listen(runner, settings)
        if not settings.public_base_url:
            app[CONTEXT].verifier = _verifier(settings, url)
        logger().info("STARTUP", process="control", url=url)
        return await _until(stop, app, lambda: liveness.ready(lambda: f"serves at {url}"))
    except (OSError, MigrationFailed, MigrationRefused) as error:
        logger().error("STOPPED", error=type(error).__name__, reason=str(error))
        print(error, file=sys.stderr)
        return FAILED
    finally:
        await runner.cleanup()
        await cancelled([living])


def runner_of(app: web.Application, head_within_seconds: float = HEAD_WITHIN_SECONDS) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=FINISH_WITHIN_SECONDS,
        keepalive_timeout=head_within_seconds,
        # A compressed body is refused, not inflated.
        auto_decompress=False,
    )


async def _until(stop: asyncio.Event, app: web.Application, ready: Callable[[], None]) -> int:
    """Wait for the stop; `ready` once the schema is there. Raises what keeps the schema from ever being there."""
    schema = app[CONTEXT].schema.task
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        if schema is not None:
            await asyncio.wait({stopped, schema}, return_when=asyncio.FIRST_COMPLETED)
            if schema.done():
                schema.result()
                ready()
        await stopped
    finally:
        stopped.cancel()
    logger().info("SHUTDOWN", process="control")
    return DONE


async def _listen(runner: web.AppRunner, settings: Settings) -> str:
    """Bind; returns the URL, with the port that was really taken."""
    await web.TCPSite(runner, settings.control_host, settings.control_port).start()
    port = runner.addresses[0][1]
    host = f"[{settings.control_host}]" if ":" in settings.control_host else settings.control_host
    return f"http://{host}:{port}"


def _verifier(settings: Settings, url: str) -> Verifier:
    token = settings.twilio_auth_token
    assert token is not None  # noqa: S101 - REQUIRED
    return Verifier(token.get_secret_value(), url)


def _on_signals(*acts: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: [act() for act in acts])


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
