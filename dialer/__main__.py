"""`python -m dialer`: the daemon as a process."""

import asyncio
import contextlib
import signal
import sys

from dialer import config, crashpoints, telemetry
from dialer.daemon import Daemon
from dialer.errors import CheckYourSettings, LetAPersonLook

REQUIRED = ("DATABASE_URL", "REDIS_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")


def main() -> int:
    """Run until SIGTERM or SIGINT; a second signal insists. 0 after a drain, 1 on a fault, 2 on bad settings."""
    try:
        settings = config.load(require=REQUIRED)
        config.refuse_unreachable_callbacks(settings)
    except CheckYourSettings as error:
        print(error, file=sys.stderr)
        return 2
    telemetry.set_up(settings.log_level, settings.log_format)
    crashpoints.arm(settings.dialer_crash_points)
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(_run(settings))
    except CheckYourSettings as error:
        print(error, file=sys.stderr)
        return 2
    except LetAPersonLook as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run(settings: config.Settings) -> None:
    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    await daemon.run()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


if __name__ == "__main__":
    sys.exit(main())
