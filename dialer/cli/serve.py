"""`dialer serve`: what a container runs. Signals go to the processes, their exit code comes back."""

import os
import time
from collections.abc import Sequence

import click

from dialer import config
from dialer.cli.child import Child, Program, environment_with, python_module
from dialer.cli.failures import FAILED, say
from dialer.cli.group import example
from dialer.cli.interrupts import Interrupts, StopAsked, interrupts
from dialer.cli.stack import CONTROL_STOPS_WITHIN, DAEMON_STOPS_WITHIN

_MODULES = {"api": "control", "worker": "dialer"}
_LOOK_EVERY_SECONDS = 0.1


@click.command(epilog=example("SERVICE_ROLE=worker dialer serve"))
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Run what SERVICE_ROLE says: `api` is control, `worker` the daemon, `all` (the default) both.

    SIGTERM stops the daemon first, which drains, and control last. When one of two ends by itself the other
    is stopped too, and its exit code (1 if that was 0) is ours.
    """
    settings = config.load(require=("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN"))
    if settings.service_role in _MODULES:
        # In our place: its signals and its exit code are then its own.
        command = python_module(_MODULES[settings.service_role])
        os.execv(command[0], command)  # noqa: S606 - our own interpreter and module
    settings.require("TWILIO_ACCOUNT_SID", "DIALER_ADMIN_TOKEN")
    config.refuse_unreachable_callbacks(settings)
    with interrupts() as asked:
        children: list[Child] = []
        try:
            for name, stop_within in (("control", CONTROL_STOPS_WITHIN), ("daemon", DAEMON_STOPS_WITHIN)):
                module = _MODULES["api" if name == "control" else "worker"]
                program = Program(name, python_module(module), environment_with({}), stop_within=stop_within)
                with asked.deferred():
                    children.append(Child(program))
            code = _until_one_ends(children, asked)
        except StopAsked:
            code = 0
        finally:
            asked.hold()
            worst = _stop(children)
    ctx.exit(code or worst)


def _until_one_ends(children: Sequence[Child], asked: Interrupts) -> int:
    while True:
        asked.check()
        for child in children:
            if (code := child.exit_code) is not None:
                say(f"{child.name} has ended by itself ({child.how_it_ended()}): stopping")
                return code or FAILED
        time.sleep(_LOOK_EVERY_SECONDS)


def _stop(children: Sequence[Child]) -> int:
    """The daemon first, control last; the first exit code that is not 0."""
    for child in reversed(children):
        if not child.stop():
            say(f"{child.name} did not stop within {child.program.stop_within:g} s: killed")
    return next((code for child in children if (code := child.exit_code)), 0)
