"""`dialer up`: a whole installation on this machine, for real use, until it is told to stop."""

import os
import secrets
import time
from collections import deque
from pathlib import Path

import click

from dialer import config
from dialer.cli.child import Child
from dialer.cli.failures import Failed, say
from dialer.cli.group import example
from dialer.cli.interrupts import StopAsked, interrupts
from dialer.cli.stack import Blueprint, Stack, obituary
from dialer.cli.troubles import Unreachable
from dialer.config import Settings

TOKEN_FILE = "admin-token"  # noqa: S105 - the name of a file
CARRIER_FILE = "carrier"
# A process that dies is started again after 1, 2, 4 ... s; one that keeps dying ends everything.
MOST_RESTARTS, RESTARTS_WITHIN_SECONDS = 5, 120.0
LOOK_EVERY_SECONDS = 0.25


@click.command(epilog=example("dialer up --simulator"))
@click.option("--simulator", is_flag=True, help="A simulated carrier: no real call is placed.")
@click.option("-v", "--verbose", is_flag=True, help="Also show the logs of the processes.")
def up(simulator: bool, verbose: bool) -> None:
    """Run servers (where DATABASE_URL, REDIS_URL are unset), migrations, control and the daemon.

    It runs until SIGTERM or Ctrl-C. Control or a daemon that dies is started again, loudly; what dies five
    times within two minutes ends everything with exit code 1. Logs are in DIALER_DATA_DIR/logs.
    """
    settings = config.load(require=() if simulator else ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"))
    if not simulator:
        config.refuse_unreachable_callbacks(settings)
    data_dir = settings.dialer_data_dir.absolute()
    if settings.database_url is None:
        _keep_carriers_apart(data_dir, "simulated" if simulator else "real")
    token, told = _token(settings, data_dir)
    blueprint = Blueprint(
        settings=settings,
        data_dir=data_dir,
        host=settings.control_host,
        port=settings.control_port,
        token=token,
        simulator=simulator,
        verbose=verbose,
    )
    with interrupts() as asked, Stack(blueprint, asked) as stack:
        try:
            _run(stack, told, data_dir)
        except StopAsked:
            pass
        except Unreachable:
            stack.check()  # says more, when control has died
            raise
        finally:
            asked.hold()
            say("stopping: the daemon drains, then the rest ...")
    say("stopped")


def _run(stack: Stack, token_told: str, data_dir: Path) -> None:
    say("starting ...")
    stack.open()
    stack.await_daemon(stack.start_daemon())
    say(f"up: {stack.client.url} (operator's token: {token_told}; logs: {data_dir / 'logs'})")
    if stack.simulator_url:
        say(f"the carrier is simulated, at {stack.simulator_url}: no real call is placed")
    _mind(stack)


def _mind(stack: Stack) -> None:
    """Start again what dies, until that is pointless. Raises Failed."""
    restarts: deque[float] = deque(maxlen=MOST_RESTARTS)
    while True:
        stack.echo()
        for child in [one for one in stack.children if one.exit_code is not None]:
            if not _worth_a_restart(child, restarts):
                stack.check()
            say(obituary(child))
            pause = float(2 ** len(restarts))
            say(f"{child.name} is started again in {pause:g} s")
            time.sleep(pause)
            restarts.append(time.monotonic())
            stack.restart(child)
        stack.check_servers()
        time.sleep(LOOK_EVERY_SECONDS)


def _worth_a_restart(child: Child, restarts: deque[float]) -> bool:
    # A simulated carrier would come back without any of its calls.
    while restarts and time.monotonic() - restarts[0] > RESTARTS_WITHIN_SECONDS:
        restarts.popleft()
    return child.name != "simulator" and len(restarts) < MOST_RESTARTS


def _token(settings: Settings, data_dir: Path) -> tuple[str, str]:
    """The operator's token, and what to tell the user about it: made at the first `up`, the same ever after."""
    if settings.dialer_admin_token is not None:
        return settings.dialer_admin_token.get_secret_value(), "DIALER_ADMIN_TOKEN"
    path = data_dir / TOKEN_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_private(path, secrets.token_urlsafe(32))
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Failed(
            f"cannot keep the operator's token in {path} ({error.strerror}): set DIALER_DATA_DIR"
        ) from error
    return token, f"{token}, kept in {path}"


def _keep_carriers_apart(data_dir: Path, carrier: str) -> None:
    """Runs that wait for a simulated carrier must not be dialed by a real one some day. Raises Failed."""
    path = data_dir / CARRIER_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_private(path, carrier)
        known = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Failed(f"cannot write to {data_dir} ({error.strerror}): set DIALER_DATA_DIR") from error
    if known != carrier:
        raise Failed(
            f"the runs in {data_dir} belong to a {known} carrier, this is a {carrier} one: "
            "set DIALER_DATA_DIR to another directory"
        )


def _write_private(path: Path, text: str) -> None:
    """A new file that only its owner can read, whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    unfinished.rename(path)
