"""`dialer recordings`: which there are, and having them as files."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from dialer.cli.client import Client, business_option, client_options, expect
from dialer.cli.download import CALL_SID, Got, download
from dialer.cli.failures import BadInput, Failed, say
from dialer.cli.group import example
from dialer.cli.lists import Listing, paging_options, show_list
from dialer.cli.show import json_option, printable, when
from dialer.cli.troubles import Refused, Unreachable

_COLUMNS = ("call", "job", "status", "bytes", "seconds", "created", "error")
_STATUSES = ("queued", "running", "completed", "failed", "cancelled")


@click.group(epilog=example("dialer recordings list --run 7", "dialer recordings download --run 7 -o spring/"))
def recordings() -> None:
    """List recordings of calls and download them."""


@recordings.command(name="list", epilog=example("dialer recordings list --run 7 --status failed"))
@click.option("--run", "run_id", type=click.IntRange(min=1), metavar="ID", help="Only those of this run.")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this state.")
@paging_options(default=50)
@business_option
@json_option
@client_options
def list_recordings(
    run_id: int | None, status: str | None, most: int | None, business: int | None, as_json: bool, client: Client
) -> None:
    """List recordings, the newest first."""
    query = {"run_id": run_id, "status": status, "business_id": business}
    show_list(Listing(client, "/api/recordings", query, most), as_json, _COLUMNS, _row)


@recordings.command(
    name="download",
    epilog=example(
        "dialer recordings download CA0123456789 -o .", "dialer recordings download --run 7 -o spring/"
    ),
)
@click.argument("call_sid", required=False)
@click.option("--run", "run_id", type=click.IntRange(min=1), metavar="ID", help="All recordings of this run.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to put them; made when it is not there.  [default: here]",
)
@client_options
def download_recordings(call_sid: str | None, run_id: int | None, output: Path, client: Client) -> None:
    """Download the recording of a call, or those of a run: each whole and with the right hash, or not at all.

    The names of the files are printed. What is there already is not fetched again, and what broke off goes on
    where it stopped; so the same command, given again, fetches what was missing.
    """
    if (call_sid is None) == (run_id is None):
        raise BadInput("give either the SID of a call or --run")
    if call_sid is not None and not CALL_SID.fullmatch(call_sid):
        raise BadInput("CALL_SID is the carrier's name of a call, such as CA0123456789abcdef0123456789abcdef")
    output.mkdir(parents=True, exist_ok=True)
    if call_sid is not None:
        _download_one(client, output, call_sid)
    else:
        _download_run(client, output, run_id)


def _download_one(client: Client, output: Path, call_sid: str) -> None:
    got = download(client, output, call_sid)
    if not isinstance(got, Got):
        raise Failed(f"the recording of {call_sid} is on its way: try again in a moment")
    _tell(call_sid, got)


def _download_run(client: Client, output: Path, run_id: int | None) -> None:
    outcomes = Counter(_one_of_many(client, output, item) for item in _all_of(client, run_id))
    say(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no recordings")
    missing = {"on their way", "not fetched"} & outcomes.keys()
    if missing:
        raise Failed("not all are here: give the command again later")


def _all_of(client: Client, run_id: int | None) -> Iterator[dict[str, Any]]:
    for item in Listing(client, "/api/recordings", {"run_id": run_id}):
        # A name that the server gives becomes the name of a file here.
        if CALL_SID.fullmatch(str(expect(item, "call_sid", "status", "sha256")["call_sid"])):
            yield item


def _one_of_many(client: Client, output: Path, item: dict[str, Any]) -> str:
    """What became of it, in the words of the last line."""
    call_sid, status = item["call_sid"], item["status"]
    if status in ("queued", "running"):
        return "on their way"
    if status != "completed":
        say(f"{call_sid}: there is none ({printable(item.get('error_message') or status)})")
        return "never made or failed"
    if item["sha256"] is None:
        return "deleted, being too old"
    try:
        got = download(client, output, call_sid, item["sha256"])
    except (Unreachable, Refused, Failed) as trouble:
        say(f"{call_sid}: {trouble}")
        return "not fetched"
    if not isinstance(got, Got):
        return "on their way"
    _tell(call_sid, got)
    return "downloaded" if got.fetched else "here already"


def _tell(call_sid: str, got: Got) -> None:
    click.echo(str(got.path))
    if not got.fetched:
        say(f"{call_sid} is here already")


def _row(recording: dict[str, Any]) -> tuple[object, ...]:
    recording = expect(recording, "call_sid", "status")
    facts = (recording.get(name) for name in ("call_sid", "job_id", "status", "bytes", "duration_seconds"))
    return (*facts, when(recording.get("created_at")), recording.get("error_message"))
