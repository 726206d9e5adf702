"""The user's list of leads: a CSV file, sent as it is, of which we know on which line each lead stands."""

import csv
import io
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dialer.cli.failures import BadInput

_COLUMN = "phone"
_HINT = "its first line must name the columns, such as: phone,lead_id,name"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Leads:
    name: str
    text: str
    lines: tuple[int, ...]
    """The line of the file on which each lead begins, by its position in the list."""


def read_leads(path: Path) -> Leads:
    """The list in a file, `-` for stdin. Raises BadInput saying what to mend."""
    name = "stdin" if str(path) == "-" else path.name
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    try:
        # A spreadsheet may put a byte order mark first; it is no part of the first column's name.
        text = content.decode("utf-16" if content.startswith(_UTF_16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(f"{name}, line {line}: not UTF-8 text; save the list as CSV in UTF-8") from error
    return _parsed(name, text)


def sample_leads() -> Leads:
    """Seven numbers reserved for fiction; their last digits tell the simulator what becomes of them."""
    text = resources.files("dialer.cli").joinpath("sample_leads.csv").read_text(encoding="utf-8")
    return _parsed("sample", text)


def _parsed(name: str, text: str) -> Leads:
    # As control reads it: or its positions would not be ours.
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines = []
    try:
        header = next(reader, [])
        if _COLUMN not in [column.strip().lower() for column in header]:
            raise BadInput(f"{name}: there is no column `{_COLUMN}`; {_HINT}")
        line = reader.line_num + 1
        for row in reader:
            if row:
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"{name}, line {reader.line_num}: {error}") from error
    if not lines:
        raise BadInput(f"{name}: there is no lead below the line of column names")
    return Leads(name, text, tuple(lines))
