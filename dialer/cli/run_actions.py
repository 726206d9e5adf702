"""`dialer runs` that change something: pause, resume, cancel, force-cancel, stop, retry."""

import sys
import uuid
from collections.abc import Callable
from typing import Any

import click

from dialer.cli.client import Client, business_option, client_options, expect
from dialer.cli.failures import BadInput, say
from dialer.cli.group import example
from dialer.cli.patience import insist
from dialer.cli.run import Run
from dialer.cli.runs import run_argument
from dialer.cli.show import json_option, print_json
from dialer.cli.start import Started, report, watch_option

DISPOSITIONS = (
    *("answered", "machine", "busy", "no_answer", "failed", "canceled", "invalid_number", "not_dialed", "unknown"),
)

Answer = dict[str, Any]


def action(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the commands here have in common."""
    reason = click.option("--reason", metavar="TEXT", help="Why: it is kept in the audit log.")
    for option in (client_options, json_option, business_option, reason, run_argument):
        command = option(command)
    return command


@click.command(epilog=example('dialer runs pause 7 --reason "lunch"'))
@action
def pause(run_id: int, reason: str | None, business: int | None, as_json: bool, client: Client) -> None:
    """Dial nothing new until it is resumed; live calls go on."""
    _told(_act(client, run_id, "pause", business, reason=reason), as_json, _state)


@click.command(epilog=example("dialer runs resume 7"))
@action
def resume(run_id: int, reason: str | None, business: int | None, as_json: bool, client: Client) -> None:
    """Go on with a paused run."""
    _told(_act(client, run_id, "resume", business, reason=reason), as_json, _state)


@click.command(epilog=example("dialer runs cancel 7"))
@action
def cancel(run_id: int, reason: str | None, business: int | None, as_json: bool, client: Client) -> None:
    """Dial nothing new; live calls end by themselves, and the run with the last of them.

    To do it again is harmless.
    """
    _told(_act(client, run_id, "cancel", business, reason=reason), as_json, _cancelled)


@click.command(
    name="force-cancel", epilog=example("dialer runs force-cancel 7", "dialer runs force-cancel 7 --hangup")
)
@click.option("--hangup", is_flag=True, help="End the live calls too, in the middle of what is being said.")
@click.option("--yes", is_flag=True, help="Do not ask before calls are hung up.")
@action
def force_cancel(
    run_id: int,
    reason: str | None,
    hangup: bool,
    yes: bool,
    business: int | None,
    as_json: bool,
    client: Client,
) -> None:
    """Cancel a run at once, even when no daemon lives. Live calls end by themselves, or with --hangup now.

    To do it again is harmless.
    """
    if hangup and not yes and sys.stdin.isatty():
        click.confirm(f"hang up on everybody who is in a call of run {run_id}?", abort=True, err=True)
    answer = _act(client, run_id, "force-cancel", business, reason=reason, hangup=hangup)
    _told(answer, as_json, _force_cancelled)


@click.command(epilog=example("dialer runs stop 7"))
@action
def stop(run_id: int, reason: str | None, business: int | None, as_json: bool, client: Client) -> None:
    """Stop a run at once: nothing new is dialed, live calls end by themselves.

    To do it again is harmless.
    """
    _told(_act(client, run_id, "stop", business, reason=reason), as_json, _stopped)


@click.command(epilog=example("dialer runs retry 7", "dialer runs retry 7 --only busy,no_answer --watch"))
@click.option(
    "--only",
    metavar="HOW,...",
    help=f"The jobs that ended so: {', '.join(DISPOSITIONS)}.  [default: busy, no_answer, failed, canceled, "
    "not_dialed]",
)
@watch_option
@action
def retry(
    run_id: int,
    only: str | None,
    reason: str | None,
    business: int | None,
    watching: bool,
    as_json: bool,
    client: Client,
) -> None:
    """Start a new run with jobs of one that has ended, set up as that was."""
    body = {"only": _dispositions(only), "reason": reason}
    body = {name: value for name, value in body.items() if value is not None}
    key = str(uuid.uuid4())
    path, query = f"/api/runs/{run_id}/retry", {"business_id": business}
    started = Started.of(insist(lambda: client.post(path, body, query, idempotency_key=key)))
    report(started, client, watching=watching, as_json=as_json)


def _act(client: Client, run_id: int, verb: str, business: int | None, **settings: Any) -> Answer:
    body = {name: value for name, value in settings.items() if value}
    return expect(client.post(f"/api/runs/{run_id}/{verb}", body, {"business_id": business}), "run_id", "status")


def _told(answer: Answer, as_json: bool, told: Callable[[Answer], str]) -> None:
    if as_json:
        print_json(answer)
        return
    ending = answer["status"] == "running" and answer.get("cancel_requested")
    state = "ends with its last live call" if ending else answer["status"]
    click.echo(f"run {answer['run_id']} {state}: {told(answer)}")
    if ending:
        say(f"see it end with: dialer runs follow {answer['run_id']}")


def _state(answer: Answer) -> str:
    run = Run.of(answer)
    return f"{run.processed} of {run.total} done, {run.active_calls} live"


def _cancelled(answer: Answer) -> str:
    return f"{_counted(answer['jobs_cancelled'], 'job')} cancelled"


def _force_cancelled(answer: Answer) -> str:
    return f"{_cancelled(answer)}, {_counted(answer['calls_hung_up'], 'call')} hung up"


def _stopped(answer: Answer) -> str:
    return f"{_counted(answer['cancelled_jobs'], 'job')} cancelled"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _dispositions(given: str | None) -> list[str] | None:
    if given is None:
        return None
    named = given.replace(",", " ").split()
    if not named or not set(named) <= set(DISPOSITIONS):
        raise BadInput(f"--only takes some of {', '.join(DISPOSITIONS)}")
    return named
