"""`dialer start`: send a list of leads, say what became of each row, follow the run when asked to."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from dialer.cli.client import Client, business_option, client_options, expect
from dialer.cli.failures import BadInput, say
from dialer.cli.group import example
from dialer.cli.leads import Leads, read_leads
from dialer.cli.patience import insist
from dialer.cli.runs import watch
from dialer.cli.show import json_option, print_json

watch_option = click.option("--watch", "watching", is_flag=True, help="Follow the run until it has ended.")

# Settings travel in the URL, and a request's first line longer than 8 KiB is refused.
_LONGEST_QUERY = 8000
_ROWS_SHOWN = 20


@dataclass(frozen=True)
class Started:
    """The server's answer to a start."""

    run_id: int
    status: str
    queued: int
    duplicates: int
    rejected: tuple[Mapping[str, Any], ...]  # each {index, code, line}

    @classmethod
    def of(cls, said: Any, lines: Sequence[int] = ()) -> "Started":
        """From the server's JSON; `lines`: where each lead of the list stands in its file."""
        answer = expect(said, "run_id", "status", "queued", "duplicates", "rejected")
        rejected = tuple({**row, "line": lines[row["index"]]} for row in answer["rejected"])
        return cls(answer["run_id"], answer["status"], answer["queued"], answer["duplicates"], rejected)

    def answer(self) -> dict[str, Any]:
        return {**vars(self), "rejected": [dict(row) for row in self.rejected]}


@click.command(
    epilog=example(
        "dialer start leads.csv --twiml hello.xml --watch",
        "dialer start - --url https://example.com/hello.xml --business 4 < leads.csv",
    )
)
@click.argument("leads", metavar="LEADS.csv", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--from", "from_number", metavar="+1...", help="The number to call from.")
@click.option(
    "--twiml", type=click.Path(path_type=Path), metavar="FILE", help="What is said: a file of TwiML, - for stdin."
)
@click.option("--url", metavar="URL", help="What is said: where the carrier fetches the TwiML.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Live calls at once, within the business's limit.")
@click.option("--name", help="A name for the run.  [default: the file's]")
@business_option
@watch_option
@json_option
@client_options
def start(
    leads: Path,
    from_number: str | None,
    twiml: Path | None,
    url: str | None,
    concurrency: int | None,
    name: str | None,
    business: int | None,
    watching: bool,
    as_json: bool,
    client: Client,
) -> None:
    """Start dialing the numbers of LEADS.csv (- for stdin).

    The columns are phone, lead_id and name; any others become variables of the lead. Numbers that cannot be
    dialed are told by their line in the file; a number that is there twice is dialed once.
    """
    if (twiml is None) == (url is None):
        raise BadInput("say what the calls are to play: either --twiml FILE or --url URL")
    if str(leads) == "-" and str(twiml) == "-":
        raise BadInput("only one of LEADS.csv and --twiml can come from stdin")
    read = read_leads(leads)
    started = send(
        client,
        read,
        name=name or read.name,
        from_number=from_number,
        twiml=_text_of(twiml) if twiml else None,
        url=url,
        concurrency=concurrency,
        business_id=business,
    )
    report(started, client, watching=watching, as_json=as_json)


def send(client: Client, leads: Leads, **settings: str | int | None) -> Started:
    """Start a run of this list. An answer that got lost is asked for again, which starts no second run."""
    if len(urlencode({name: value for name, value in settings.items() if value is not None})) > _LONGEST_QUERY:
        raise BadInput("this TwiML is too long to be sent along: serve it over HTTP and give --url instead")
    key = str(uuid.uuid4())
    return Started.of(insist(lambda: client.post_csv("/api/runs", leads.text, settings, key)), leads.lines)


def report(started: Started, client: Client, *, watching: bool, as_json: bool) -> None:
    """Tell of a run that was just started, and follow it when asked to."""
    if as_json:
        print_json(started.answer())
    else:
        click.echo(f"run {started.run_id} {started.status}: {summary(started)}")
        tell_rejected(started)
    if watching:
        watch(client, started.run_id, as_json)
    elif not as_json:
        say(f"follow it with: dialer runs follow {started.run_id}")


def summary(started: Started) -> str:
    """Such as `7 queued, 1 duplicate left out, 2 rejected`."""
    parts = [f"{started.queued} queued"]
    if started.duplicates:
        parts.append(f"{started.duplicates} duplicate{'s' * (started.duplicates > 1)} left out")
    if started.rejected:
        parts.append(f"{len(started.rejected)} rejected")
    return ", ".join(parts)


def tell_rejected(started: Started) -> None:
    """Say which rows of the file are not dialed and why."""
    for row in started.rejected[:_ROWS_SHOWN]:
        say(f"  line {row['line']}: {str(row['code']).replace('_', ' ')}, not dialed")
    if more := started.rejected[_ROWS_SHOWN:]:
        counts = Counter(str(row["code"]).replace("_", " ") for row in more)
        say(f"  and {', '.join(f'{n} x {code}' for code, n in counts.items())} (all of them with --json)")


def _text_of(path: Path) -> str:
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            return str(file.read())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text") from error
