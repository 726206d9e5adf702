"""`dialer demo`: everything on this machine, with a simulated carrier, from a list to its outcome table."""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dialer import config
from dialer.cli.client import Client, expect
from dialer.cli.failures import FAILED, Failed, say
from dialer.cli.group import example
from dialer.cli.interrupts import Interrupts, interrupts
from dialer.cli.leads import Leads, read_leads, sample_leads
from dialer.cli.lists import Listing
from dialer.cli.run import Run, follow
from dialer.cli.show import json_option, print_json, print_table, progress
from dialer.cli.stack import SIMULATED_FROM_NUMBER, Blueprint, Stack
from dialer.cli.start import Started, send, summary, tell_rejected
from dialer.cli.troubles import Unreachable

_TWIML = "<Response><Say>This is the dialer's demonstration. Goodbye.</Say></Response>"


@dataclass(frozen=True)
class Outcome:
    """What the demonstration shows."""

    run: Run
    jobs: list[dict[str, Any]]
    seconds: float
    limit: int
    most_live: int  # by the carrier's own ledger


@click.command(epilog=example("dialer demo", "dialer demo leads.csv --limit 5"))
@click.argument("leads", metavar="[LEADS.csv]", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--limit", type=click.IntRange(1, 1000), default=3, show_default=True, help="Live calls at once.")
@click.option("-v", "--verbose", is_flag=True, help="Also show the logs of the processes.")
@json_option
@click.pass_context
def demo(ctx: click.Context, leads: Path | None, limit: int, verbose: bool, as_json: bool) -> None:
    """Dial a list with a simulated carrier, and see what became of it. No real call is placed.

    Everything runs here, on its own data under DIALER_DATA_DIR, and is shut down at the end.
    """
    settings = config.load()
    given = read_leads(leads) if leads else sample_leads()
    token = settings.dialer_admin_token
    blueprint = Blueprint(
        settings=settings,
        # Apart from the data of `dialer up`, whose runs must never meet a simulated carrier.
        data_dir=(settings.dialer_data_dir / "demo").absolute(),
        host="127.0.0.1",
        port=0,
        token=token.get_secret_value() if token else secrets.token_urlsafe(24),
        simulator=True,
        fresh=True,
        verbose=verbose,
    )
    with interrupts() as asked:
        outcome = _perform(blueprint, given, limit, asked)
    _print_json(outcome) if as_json else _print(outcome)
    ctx.exit(0 if outcome.run.status == "completed" else FAILED)


def _perform(blueprint: Blueprint, leads: Leads, limit: int, asked: Interrupts) -> Outcome:
    say("starting the servers, a simulated carrier, control and the daemon ...")
    with Stack(blueprint, asked) as stack:
        try:
            stack.open()
            _refuse_company(stack)
            stack.start_daemon()
            _introduce(stack.client, made=blueprint.settings.dialer_admin_token is None)
            return _dial(stack, leads, limit)
        except Unreachable:
            stack.check()  # says more, when control has died
            raise
        finally:
            asked.hold()
            say("shutting everything down ...")


def _refuse_company(stack: Stack) -> None:
    """In a database that is not the demo's own: no work for our daemon but ours, and no other daemon for ours."""
    unended = any(
        expect(stack.client.get("/api/runs", {"status": status, "limit": 1}), "data")["data"]
        for status in ("running", "pending", "paused")
    )
    if unended or stack.known_daemons():
        raise Failed(
            "the database of DATABASE_URL is in use (it has runs that have not ended, or live daemons): the "
            "demo's simulated calls must not mix with them. Unset DATABASE_URL, or name an empty database"
        )


def _introduce(client: Client, made: bool) -> None:
    # A token of the user's own is not for the screen.
    token = client.token if made else "$DIALER_ADMIN_TOKEN"
    say(f"control listens on {client.url}")
    say(f"the operator's token is {token}")
    say(f'look in from elsewhere with: curl -H "Authorization: Bearer {token}" {client.url}/api/runs')


def _dial(stack: Stack, leads: Leads, limit: int) -> Outcome:
    began = time.monotonic()
    business = stack.client.post("/api/businesses", {"name": "demo", "max_concurrent_calls": limit})
    started: Started = send(
        stack.client,
        leads,
        name=leads.name,
        from_number=SIMULATED_FROM_NUMBER,
        twiml=_TWIML,
        concurrency=limit,
        business_id=business["business_id"],
    )
    say(f"run {started.run_id}: {summary(started)}; at most {limit} calls at once")
    tell_rejected(started)
    with progress() as show:
        run = follow(stack.client, started.run_id, show, until=_is_over, meanwhile=stack.check)
    jobs = list(Listing(stack.client, f"/api/runs/{run.run_id}/jobs", {}))
    ledger = Client(stack.simulator_url or "").get("/_sim/ledger/summary")
    return Outcome(run, jobs, time.monotonic() - began, limit, ledger["most_live"])


def _is_over(run: Run) -> bool:
    # Nobody is there to resume a run that was paused because the carrier refuses it.
    return run.ended or run.status == "paused"


def _print(outcome: Outcome) -> None:
    columns = ("lead", "phone", "name", "status", "disposition", "seconds")
    print_table(columns, [_row(job) for job in outcome.jobs])
    run = outcome.run
    click.echo(
        f"{run.processed} of {run.total} leads done in {outcome.seconds:.1f} s ({run.how_calls_ended}), "
        f"largest number of calls live at once: {outcome.most_live} (limit {outcome.limit})"
    )
    if run.status != "completed":
        say(f"the run is {run.status}: {run.last_error or 'no reason is known'}")


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    return (
        job["lead_id"],
        job["phone"],
        job["name"],
        job["status"],
        job["disposition"],
        job["duration_seconds"],
    )


def _print_json(outcome: Outcome) -> None:
    print_json(
        {
            "run": outcome.run.raw,
            "jobs": outcome.jobs,
            "seconds": round(outcome.seconds, 3),
            "limit": outcome.limit,
            "most_live": outcome.most_live,
        }
    )
