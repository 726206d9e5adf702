"""What the user sees: tables on stdout, progress on stderr (a bar on a terminal, else plain lines)."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dialer.cli.failures import say
from dialer.cli.run import Run

# Wide enough for every row: what reads a pipe or a file wants no wrapped line.
_UNBOUNDED_WIDTH = 100_000
_LINE_EVERY_SECONDS = 1.0

json_option = click.option("--json", "as_json", is_flag=True, help="Data as JSON.")


def print_json(data: Any) -> None:
    """One line of JSON on stdout."""
    click.echo(json.dumps(data, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """An aligned table on stdout; with lines and bold headings on a terminal only."""
    terminal = sys.stdout.isatty()
    table = Table(box=SIMPLE_HEAD if terminal else None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(cell)) for cell in row))
    width = None if terminal else _UNBOUNDED_WIDTH
    console = Console(width=width, force_terminal=terminal, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, on stdout."""
    shown = [(name, _printable(value)) for name, value in facts]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}".rstrip())


@contextmanager
def progress() -> Iterator[Callable[[Run], None]]:
    """Something to show a run to, again and again."""
    if not sys.stderr.isatty():
        yield _Lines().show
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True, force_terminal=True),
    )
    with bar:
        task = bar.add_task("leads", total=None, state="")
        yield lambda run: bar.update(
            task, total=run.total, completed=run.processed, description=_title(run), state=_state(run)
        )


class _Lines:
    """A plain line whenever something has changed, at most one a second, and one for the end."""

    def __init__(self) -> None:
        self._last = ""
        self._said_at = 0.0

    def show(self, run: Run) -> None:
        line = f"{_title(run)}: {run.processed} of {run.total} done, {_state(run)}"
        due = run.ended or time.monotonic() - self._said_at >= _LINE_EVERY_SECONDS
        if line != self._last and due:
            self._last, self._said_at = line, time.monotonic()
            say(line)


def when(moment: str | None) -> str:
    """A time of the server in this machine's time zone, to the second."""
    if moment is None:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _title(run: Run) -> str:
    return f"run {run.run_id} {run.status}"


def _state(run: Run) -> str:
    parts = [f"{run.active_calls} live", run.how_calls_ended, _printable(run.last_error)]
    return "; ".join(part for part in parts if part)


def _printable(value: object) -> str:
    """As text without control characters: names come from anywhere."""
    text = "" if value is None else str(value)
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
