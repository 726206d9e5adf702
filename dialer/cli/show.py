"""What the user sees: tables on stdout, progress on stderr (a bar on a terminal, else plain lines)."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dialer.cli.failures import say
from dialer.cli.run import Run

_LINE_EVERY_SECONDS = 1.0
# A long list is shown in parts of so many rows: the columns of a later part may turn out wider.
_ROWS_AT_ONCE = 500

json_option = click.option("--json", "as_json", is_flag=True, help="Data as JSON.")


def print_json(data: Any) -> None:
    """One line of JSON on stdout."""
    click.echo(json.dumps(data, ensure_ascii=False))


def print_json_list(items: Iterable[Any], before: str = "", after: str = "") -> None:
    """A JSON array on stdout, an item a line, as they come. One that broke off lacks its bracket."""
    click.echo(before + "[", nl=False)
    separator = "\n"
    for item in items:
        click.echo(separator + json.dumps(item, ensure_ascii=False), nl=False)
        separator = ",\n"
    click.echo(("]" if separator == "\n" else "\n]") + after)


def print_json_with_list(data: Mapping[str, Any], name: str, items: Iterable[Any]) -> None:
    """A JSON object (not an empty one) with one member more: a list, an item a line, as they come."""
    start = json.dumps(data, ensure_ascii=False).removesuffix("}")
    print_json_list(items, f'{start}, "{name}": ', "}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """An aligned table on stdout; with lines and bold headings on a terminal only."""
    cells = (tuple(printable(cell) for cell in row) for row in rows)
    widths = [cell_len(column) for column in columns]
    heading: Sequence[str] | None = columns
    draw = _drawn if on_terminal() else _aligned
    for part in _parts(cells):
        widths = [max([width, *(cell_len(row[n]) for row in part)]) for n, width in enumerate(widths)]
        for line in draw(heading, part, widths):
            click.echo(line.rstrip())
        heading = None


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, on stdout."""
    for name, value in aligned_facts(facts):
        click.echo(f"{name}  {value}".rstrip())


def aligned_facts(facts: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    """Names of one width, and values without control characters."""
    shown = [(name, printable(value)) for name, value in facts]
    width = max((len(name) for name, _ in shown), default=0)
    return [(f"{name:<{width}}", value) for name, value in shown]


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table for a terminal."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def on_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


def in_colour(text: str, colour: str) -> str:
    """With colour where a person looks at stdout who has nothing against it."""
    wanted = on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return click.style(text, fg=colour, bold=True) if wanted else text


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
        # It is shown often enough. A thread that draws would be waited for with a lock in hand, should Ctrl-C come in
        # the middle of a drawing.
        auto_refresh=False,
    )
    with bar:
        task = bar.add_task("leads", total=None, state="")
        yield lambda run: bar.update(
            task,
            total=run.total,
            completed=run.processed,
            description=_title(run),
            state=_state(run),
            refresh=True,
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


def printable(value: object) -> str:
    """As text without control characters: names come from anywhere."""
    text = "" if value is None else str(value)
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _parts(rows: Iterable[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    """At least one, which may be empty."""
    rows = iter(rows)
    part = list(islice(rows, _ROWS_AT_ONCE))
    yield part
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        yield part


def _aligned(heading: Sequence[str] | None, rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Never wrapped: what reads a pipe or a file wants whole lines."""
    for row in rows if heading is None else [heading, *rows]:
        yield "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))


def _drawn(heading: Sequence[str] | None, rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    console = Console(force_terminal=True, highlight=False)
    table = table_of(heading or [""] * len(widths), rows)
    table.show_header = heading is not None
    # Parts of one list stand below each other as long as there is room.
    if sum(widths) + 2 * len(widths) <= console.width:
        for column, width in zip(table.columns, widths, strict=True):
            column.min_width = width
    with console.capture() as capture:
        console.print(table)
    yield from capture.get().splitlines()


def _title(run: Run) -> str:
    return f"run {run.run_id} {run.status}"


def _state(run: Run) -> str:
    parts = [f"{run.active_calls} live", run.how_calls_ended, printable(run.last_error)]
    return "; ".join(part for part in parts if part)
