"""`dialer jobs`: what became of each number, and why."""

import json
from typing import Any

import click

from dialer.cli.client import Client, client_options, expect
from dialer.cli.group import example
from dialer.cli.lists import Listing, paging_options, show_list
from dialer.cli.patience import read
from dialer.cli.run import Run
from dialer.cli.show import json_option, print_facts, print_json, print_table, when
from dialer.cli.story import in_short, time_line

JOB_STATUSES = ("queued", "dialing", "calling", "completed", "failed", "cancelled")

_COLUMNS = ("job", "lead", "phone", "name", "status", "disposition", "attempts", "seconds", "dialed")


@click.group(epilog=example("dialer jobs list 7 --status failed", "dialer jobs show 1205"))
def jobs() -> None:
    """Look at single jobs: a job is one number of a run."""


@jobs.command(name="list", epilog=example("dialer jobs list 7 --status failed", "dialer jobs list 7 --all --json"))
@click.argument("run_id", metavar="RUN_ID", type=int)
@click.option("--status", type=click.Choice(JOB_STATUSES), help="Only those in this state.")
@paging_options(default=50)
@json_option
@client_options
def list_jobs(run_id: int, status: str | None, most: int | None, as_json: bool, client: Client) -> None:
    """List the jobs of a run, in the order of its list."""
    show_jobs(Listing(client, f"/api/runs/{run_id}/jobs", {"status": status}, most), as_json)


@jobs.command(epilog=example("dialer jobs show 1205"))
@click.argument("job_id", metavar="JOB_ID", type=int)
@json_option
@client_options
def show(job_id: int, as_json: bool, client: Client) -> None:
    """Show one job with all that is known of it: why was this person called, or not?"""
    job = expect(read(client, f"/api/jobs/{job_id}"), "job_id", "run_id", "status", "attempts")
    if as_json:
        print_json(job)
        return
    run = Run.of(read(client, f"/api/runs/{job['run_id']}")) if job["status"] == "queued" else None
    print_facts((name, _fact(name, value)) for name, value in job.items() if name != "attempts")
    click.echo()
    click.echo(in_short(job, run))
    click.echo()
    print_table(("time", "attempt", "what happened"), time_line(job))


def show_jobs(listing: Listing, as_json: bool) -> None:
    """Print jobs as they come."""
    show_list(listing, as_json, _COLUMNS, _row)


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    job = expect(job, "job_id", "phone", "status")
    names = ("job_id", "lead_id", "phone", "name", "status", "disposition", "attempts_made", "duration_seconds")
    return (*(job.get(name) for name in names), when(job.get("dialed_at")))


def _fact(name: str, value: Any) -> object:
    if name.endswith("_at"):
        return when(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
