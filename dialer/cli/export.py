"""`dialer runs export`: the report of a run as a CSV file."""

import os
import secrets
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click

from dialer.cli.client import Client, client_options
from dialer.cli.failures import BadInput, Failed, say
from dialer.cli.group import example
from dialer.cli.patience import patiently
from dialer.cli.runs import run_argument


@click.command(epilog=example("dialer runs export 7 -o spring.csv", "dialer runs export 7 | head"))
@run_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="The file to write; it appears when it is complete.  [default: stdout]",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--excel", is_flag=True, help="Begin with a byte-order mark, so that Excel shows names as they are.")
@client_options
def export(run_id: int, output: Path | None, force: bool, excel: bool, client: Client) -> None:
    """Write the report of a run: CSV, a row for each job, with its number in full."""
    to_file = output is not None and str(output) != "-"
    if output and to_file:
        _refuse_to_lose(output, force)
    content = patiently(lambda: client.download(f"/api/runs/{run_id}/report.csv"))
    if excel:
        # Without it Excel takes the file for one in the system's old code page.
        content = chain([BOM_UTF8], content)
    if output and to_file:
        size = _write(output.resolve(), content, force)
        say(f"{output}: {size} bytes")
        return
    for chunk in content:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _refuse_to_lose(path: Path, force: bool) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise BadInput(f"{path}: name a file in a directory that is there")
    if path.is_file() and not force:
        raise BadInput(f"{path} is there already: --force writes over it")


def _write(path: Path, content: Iterator[bytes], force: bool) -> int:
    """Returns the number of bytes. The file has its name only when it is whole."""
    if path.exists() and not path.is_file():  # a pipe or a device
        with path.open("wb") as file:
            return sum(file.write(chunk) for chunk in content)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:
            size = sum(file.write(chunk) for chunk in content)
            file.flush()
            os.fsync(file.fileno())
        _refuse_to_lose(path, force)  # it may have come up meanwhile
        unfinished.replace(path)
    except OSError as error:
        raise Failed(f"{path} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return size
