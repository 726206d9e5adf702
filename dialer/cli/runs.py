"""`dialer runs`: look at runs and act on them. A new verb is one more command of the group here."""

import click

from dialer.cli.client import Client, client_options, expect
from dialer.cli.failures import FAILED
from dialer.cli.run import ENDED, Run, fetch, follow
from dialer.cli.show import json_option, print_facts, print_json, print_table, progress, when

_STATUSES = ("pending", "running", "paused", *ENDED)
_run_id = click.argument("run_id", metavar="ID", type=int)


@click.group()
def runs() -> None:
    """Look at runs and act on them."""


@runs.command(name="list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="The newest so many.")
@click.option("--business", type=int, metavar="ID", help="The business to look at, with the operator's token.")
@json_option
@client_options
def list_runs(status: str | None, limit: int, business: int | None, as_json: bool, client: Client) -> None:
    """List the newest runs."""
    answer = expect(client.get("/api/runs", {"status": status, "limit": limit, "business_id": business}), "data")
    if as_json:
        print_json(answer["data"])
        return
    columns = ("run", "name", "status", "done", "live", "created", "outcomes")
    print_table(columns, [_row(Run.of(one)) for one in answer["data"]])


@runs.command()
@_run_id
@json_option
@client_options
def show(run_id: int, as_json: bool, client: Client) -> None:
    """Show everything about one run."""
    run = fetch(client, run_id)
    print_json(run.raw) if as_json else _print(run)


@runs.command(name="follow")
@_run_id
@json_option
@client_options
def follow_run(run_id: int, as_json: bool, client: Client) -> None:
    """Follow a run until it has ended: exit code 0 when it was completed, else 1.

    With --json: a line for every change, the last one tells of the end.
    """
    watch(client, run_id, as_json)


def watch(client: Client, run_id: int, as_json: bool) -> None:
    """Show a run until it has ended. Exits with 1 unless it was completed."""
    if as_json:
        run = follow(client, run_id, _Changes().show)
    else:
        with progress() as show_progress:
            run = follow(client, run_id, show_progress)
        _print(run)
    if run.status != "completed":
        click.get_current_context().exit(FAILED)


class _Changes:
    """Prints a run as JSON whenever something has changed."""

    def __init__(self) -> None:
        self._last: Run | None = None

    def show(self, run: Run) -> None:
        if run != self._last:
            print_json(run.raw)
        self._last = run


def _row(run: Run) -> tuple[object, ...]:
    done = f"{run.processed}/{run.total}"
    return (run.run_id, run.name, run.status, done, run.active_calls, when(run.created_at), run.how_calls_ended)


def _print(run: Run) -> None:
    facts = {**run.raw, "dispositions": run.how_calls_ended}
    print_facts((name, when(value) if name.endswith("_at") else value) for name, value in facts.items())
