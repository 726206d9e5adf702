"""`dialer runs`: look at runs. What changes them is in `run_actions`, the report in `export`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from dialer.cli.client import Client, business_option, client_options
from dialer.cli.failures import FAILED, BadInput, say
from dialer.cli.group import example
from dialer.cli.interrupts import interrupts
from dialer.cli.jobs import JOB_STATUSES, show_jobs
from dialer.cli.lists import Listing, paging_options, show_list
from dialer.cli.patience import patiently
from dialer.cli.run import ENDED, Run, fetch, follow
from dialer.cli.show import (
    json_option,
    print_facts,
    print_json,
    print_json_with_list,
    progress,
    when,
)

COLUMNS = ("run", "name", "status", "done", "live", "created", "outcomes")

_STATUSES = ("pending", "running", "paused", *ENDED)
run_argument = click.argument("run_id", metavar="ID", type=int)


@click.group(epilog=example("dialer runs list --status running", "dialer runs cancel 7"))
def runs() -> None:
    """Look at runs and act on them."""


@runs.command(name="list", epilog=example("dialer runs list --status running", "dialer runs list --all --json"))
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@paging_options(default=20)
@business_option
@json_option
@client_options
def list_runs(status: str | None, most: int | None, business: int | None, as_json: bool, client: Client) -> None:
    """List runs, the newest first."""
    listing = Listing(client, "/api/runs", {"status": status, "business_id": business}, most)
    show_list(listing, as_json, COLUMNS, lambda raw: row_of(Run.of(raw)))


@runs.command(epilog=example("dialer runs show 7", "dialer runs show 7 --jobs --status failed"))
@run_argument
@click.option("--jobs", is_flag=True, help="Also every job of it.")
@click.option("--status", type=click.Choice(JOB_STATUSES), help="Of the jobs only those in this state.")
@json_option
@client_options
def show(run_id: int, jobs: bool, status: str | None, as_json: bool, client: Client) -> None:
    """Show everything about one run."""
    if status and not jobs:
        raise BadInput("--status chooses among the jobs: give --jobs too")
    run = patiently(lambda: fetch(client, run_id))
    listing = Listing(client, f"/api/runs/{run_id}/jobs", {"status": status})
    if as_json and jobs:
        print_json_with_list(run.raw, "jobs", listing)
    elif as_json:
        print_json(run.raw)
    else:
        print_run(run)
        if jobs:
            click.echo()
            show_jobs(listing, as_json=False)


@runs.command(name="follow", epilog=example("dialer runs follow 7 && echo all done"))
@run_argument
@json_option
@client_options
def follow_run(run_id: int, as_json: bool, client: Client) -> None:
    """Follow a run until it has ended: exit code 0 when it was completed, else 1.

    With --json: a line for every change, the last one tells of the end.
    """
    watch(client, run_id, as_json)


def watch(client: Client, run_id: int, as_json: bool) -> None:
    """Show a run until it has ended. Exits with 1 unless it was completed."""
    try:
        with interrupts() as asked, _changes() if as_json else progress() as shown:
            run = follow(client, run_id, shown, meanwhile=asked.check)
    except KeyboardInterrupt:
        say(f"run {run_id} goes on without being followed; stop it with: dialer runs stop {run_id}")
        raise
    if not as_json:
        print_run(run)
    if run.status != "completed":
        click.get_current_context().exit(FAILED)


@contextmanager
def _changes() -> Iterator[Callable[[Run], None]]:
    """Prints a run as JSON whenever something has changed."""
    last: Run | None = None

    def show(run: Run) -> None:
        nonlocal last
        if run != last:
            print_json(run.raw)
        last = run

    yield show


def row_of(run: Run) -> tuple[object, ...]:
    """Of a table with COLUMNS."""
    done = f"{run.processed}/{run.total}"
    return (run.run_id, run.name, run.status, done, run.active_calls, when(run.created_at), run.how_calls_ended)


def print_run(run: Run) -> None:
    facts = {**run.raw, "dispositions": run.how_calls_ended}
    print_facts((name, when(value) if name.endswith("_at") else value) for name, value in facts.items())
