"""`dialer status`: how things are, once or again and again."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dialer.cli.client import Client, business_option, client_options
from dialer.cli.failures import say
from dialer.cli.group import example
from dialer.cli.interrupts import StopAsked, interrupts
from dialer.cli.overview import Overview, look
from dialer.cli.patience import passing, pause_before_repeating
from dialer.cli.runs import COLUMNS, row_of
from dialer.cli.show import (
    aligned_facts,
    json_option,
    on_terminal,
    print_facts,
    print_json,
    print_table,
    table_of,
    when,
)
from dialer.cli.troubles import LONGEST_WAIT_SECONDS, Refused, Unreachable

LONGEST_WATCH_SECONDS = 86_400.0

_DAEMON_COLUMNS = ("daemon", "host", "pid", "since", "runs", "live")

Facts = list[tuple[str, object]]
Rows = list[tuple[object, ...]]


def _number(_ctx: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    # It is in every range: no comparison with it says otherwise.
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a number.")
    return value


@click.command(epilog=example("dialer status", "dialer status --watch 2"))
@click.option(
    "--watch",
    "every",
    type=click.FloatRange(min=0.2, max=LONGEST_WATCH_SECONDS),
    callback=_number,
    is_flag=False,
    flag_value=2.0,
    metavar="S",
    help="Look again every so many seconds (2 unless said), until Ctrl-C.",
)
@business_option
@json_option
@client_options
def status(every: float | None, business: int | None, as_json: bool, client: Client) -> None:
    """Show health, daemons, runs that are going on, and the calls of the business.

    With --watch: redrawn on a terminal, else a line for every look; with --json an object a line.
    Exit code 0 when it could be seen, however it is; for a probe see `dialer healthcheck`.
    """
    if every is None:
        overview = look(client, business)
        print_json(overview.data()) if as_json else _print(overview)
        if client.token is None:
            say("with DIALER_TOKEN set there is more to see")
        return
    with interrupts() as asked:
        try:
            with _json_lines() if as_json else _screen(every) if _can_redraw() else _lines() as shown:
                _watch(client, business, every, shown, asked.check)
        except StopAsked:
            return


Shown = Callable[[Overview | Unreachable | Refused], None]


def _watch(client: Client, business: int | None, every: float, shown: Shown, check: Callable[[], None]) -> None:
    """Until StopAsked. A server that is away for a while is no reason to give up."""
    while True:
        check()
        pause = every
        try:
            shown(look(client, business))
        except (Unreachable, Refused) as trouble:
            if not passing(trouble):
                raise
            shown(trouble)
            pause = max(every, min(pause_before_repeating(trouble), LONGEST_WAIT_SECONDS))
        time.sleep(pause)


def _can_redraw() -> bool:
    return on_terminal() and os.environ.get("TERM") != "dumb"


@contextmanager
def _json_lines() -> Iterator[Shown]:
    yield lambda seen: print_json(seen.data()) if isinstance(seen, Overview) else say(str(seen))


@contextmanager
def _lines() -> Iterator[Shown]:
    def show(seen: Overview | Unreachable | Refused) -> None:
        now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{now}  {seen.in_a_line if isinstance(seen, Overview) else seen}")

    yield show


@contextmanager
def _screen(every: float) -> Iterator[Shown]:
    """A screen of its own, drawn anew at each look, whatever its size has become; the last look stays behind."""
    console = Console(force_terminal=True, highlight=False)
    last: list[tuple[str, Overview]] = []
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:

            def show(seen: Overview | Unreachable | Refused) -> None:
                now = datetime.now().astimezone().strftime("%H:%M:%S")
                trouble = []
                if isinstance(seen, Overview):
                    last[:] = [(now, seen)]
                else:
                    trouble = [Text(f"{now}  {seen}", style="bold red"), Text()]
                heads = [Text(f"as of {at}, every {every:g} s; Ctrl-C ends", style="dim") for at, _ in last]
                live.update(Group(*trouble, *heads, *(_drawn(one) for _, one in last)), refresh=True)

            yield show
    finally:
        for _, overview in last:
            console.print(_drawn(overview))


def _print(overview: Overview) -> None:
    print_facts(_facts(overview))
    for columns, rows in _tables(overview):
        click.echo()
        print_table(columns, rows)


def _drawn(overview: Overview) -> Group:
    facts = [
        Text.assemble((name, "bold"), "  ", (value, "bold red" if _alarming(name.strip(), value) else ""))
        for name, value in aligned_facts(_facts(overview))
    ]
    tables = [part for columns, rows in _tables(overview) for part in (Text(), table_of(columns, rows))]
    return Group(*facts, *tables)


def _alarming(name: str, value: str) -> bool:
    """What somebody should see at the first glance."""
    return (name == "status" and value != "ok") or (name in ("stale runs", "unknown attempts") and value != "0")


def _facts(overview: Overview) -> Facts:
    health = overview.health
    facts: Facts = [("status", overview.status), ("calls", overview.calls or None)]
    facts += [(name.replace("_", " "), health.get(name)) for name in ("stale_runs", "unknown_attempts")]
    if (oldest := health.get("oldest_waiting_job_seconds")) is not None:
        facts.append(("oldest waiting job", f"{oldest:.0f} s"))
    return [(name, value) for name, value in facts if value is not None]


def _tables(overview: Overview) -> list[tuple[tuple[str, ...], Rows]]:
    tables: list[tuple[tuple[str, ...], Rows]] = []
    if daemons := overview.health.get("daemons"):
        tables.append((_DAEMON_COLUMNS, [_daemon(one) for one in daemons]))
    if overview.runs:
        tables.append((COLUMNS, [row_of(run) for run in overview.runs]))
    return tables


def _daemon(one: dict[str, Any]) -> tuple[object, ...]:
    notes = " (without Redis)" * bool(one.get("redis_degraded")) + " (draining)" * bool(one.get("draining"))
    numbers = (one.get("runs"), f"{one.get('live_calls')}{notes}")
    return (str(one.get("id", ""))[:8], one.get("host"), one.get("pid"), when(one.get("started_at")), *numbers)
