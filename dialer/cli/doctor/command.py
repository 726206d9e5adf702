"""`dialer doctor`: prints what was found. Data to stdout, the sum of it to stderr."""

import asyncio
import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import asdict

import click

from dialer import config, telemetry
from dialer.cli.doctor import settings as settings_group
from dialer.cli.doctor.examine import Report, examine
from dialer.cli.doctor.findings import Finding, Level, worst
from dialer.cli.failures import FAILED, say
from dialer.cli.group import example
from dialer.cli.reach import with_embedded
from dialer.cli.show import in_colour, json_option, on_terminal, print_json_with_list, printable
from dialer.errors import CheckYourSettings

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@click.command(epilog=example("dialer doctor", "dialer doctor --json"))
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check an installation: each check is OK, WARN or FAIL, with what to do about it.

    It reads the environment of the processes, so run it as they run: same variables, same user, same machine. It
    changes nothing and places no call. Where DATABASE_URL and REDIS_URL are unset it looks at the servers of a
    `dialer up` with the same DIALER_DATA_DIR. Exit code 1 when any check is FAIL.
    """
    # What edges log would stand between the findings; what it means is in these.
    telemetry.set_up("ERROR", "console", sys.stderr)
    report = _examined()
    _show(report, as_json)
    counts = Counter(finding.level for finding in report.findings)
    say(", ".join(f"{counts[level]} {level}" for level in reversed(Level)))
    for group, lacking in report.left_out.items():
        say(f"not looked at: {group} (needs {', '.join(lacking)})")
    ctx.exit(FAILED if worst(report.findings) is Level.FAIL else 0)


def _examined() -> Report:
    try:
        given = config.load()
    except CheckYourSettings as fault:
        return Report([settings_group.judge_faults(str(fault))], {"everything else": ["valid settings"]})
    reached = with_embedded(given)
    return asyncio.run(examine(reached, is_up=reached is not given))


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        head = {"verdict": worst(report.findings), "left_out": report.left_out}
        print_json_with_list(head, "checks", [asdict(finding) for finding in report.findings])
        return
    width = max(len(finding.check) for finding in report.findings)
    for finding in report.findings:
        _print(finding, width)


def _print(finding: Finding, width: int) -> None:
    level = in_colour(f"{finding.level:<4}", _COLOURS[finding.level])
    margin = " " * (width + 8)
    found, *more = _folded(finding.found, len(margin))
    click.echo(f"{level}  {finding.check:<{width}}  {found}")
    for line in more:
        click.echo(margin + line)
    for number, line in enumerate(_folded(finding.advice, len(margin) + 3)):
        click.echo(margin + ("   " if number else "-> ") + line)


def _folded(text: str, margin: int) -> list[str]:
    """In lines that fit on a terminal beside the margin; elsewhere whole."""
    columns = shutil.get_terminal_size().columns - margin
    return textwrap.wrap(printable(text), max(columns, 30)) if on_terminal() else [printable(text)] * bool(text)
