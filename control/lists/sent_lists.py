"""A calling list as it was sent: known to be readable to its end, and read anew whenever it is gone through.

So a list of a million takes the room of its text, not that of a million objects.
"""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from control.document.payloads import MOST_LEADS
from control.lists import json_in_steps
from control.lists.json_in_steps import Elements
from control.requests.problems import Fault

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


_TOO_LARGE = Fault(
    "",
    f"is not JSON, or has thousands of members, or a value of more than {json_in_steps.LONGEST_VALUE:,} characters",
)


class Unreadable(Exception):
    """The body cannot be read as what it claims to be: tell the sender where."""

    def __init__(self, code: str, fault: Fault) -> None:
        super().__init__(code)
        self.code, self.fault = code, fault


class _LongLine(Exception):
    """A line that no row of a list could be."""


class Rows:
    """The rows of a CSV as leads. Separated by comma, semicolon or tab, whichever the first line has most of.

    Raises Unreadable: a quote that never ends, a line of megabytes, no column `phone`, more than MOST_LEADS.
    """

    def __init__(self, text: str) -> None:
        end = text.find("\n")
        header_line = text if end < 0 else text[:end]
        self._delimiter = max(",;\t", key=header_line.count)
        self._text = text.encode("utf-8", "surrogatepass")
        self._count = self._counted()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        reader = self._reader()
        own, others = _columns(reader)
        for cells in filter(None, reader):
            lead: dict[str, Any] = {name: cells[i] for name, i in own if i < len(cells) and cells[i]}
            lead["variables"] = {name: cells[i] for name, i in others if i < len(cells)}
            yield lead

    def _counted(self) -> int:
        reader = self._reader()
        try:
            _columns(reader)
            count = sum(1 for _ in islice(filter(None, reader), MOST_LEADS + 1))
        except _LongLine:
            raise Unreadable("invalid_csv", Fault(f"/line/{reader.line_num + 1}", "is too long a line")) from None
        except csv.Error:
            fault = Fault(f"/line/{reader.line_num}", "is not CSV: a stray quote, or a cell without end")
            raise Unreadable("invalid_csv", fault) from None
        if count > MOST_LEADS:
            raise _too_many()
        return count

    def _reader(self) -> Any:
        lines = io.TextIOWrapper(io.BytesIO(self._text), "utf-8", "surrogatepass", newline="")
        # strict: a quote that is never closed would otherwise swallow the rest of the list into one lead.
        return csv.reader(map(_of_bounded_length, lines), delimiter=self._delimiter, strict=True)


SentLeads = Elements | Rows


def from_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a start; its leads, if they are a list, as Elements. Raises Unreadable."""
    try:
        data = json_in_steps.decode(body.decode("utf-8-sig"), long_array="leads", most_elements=MOST_LEADS)
    except json_in_steps.TooLong:
        raise _too_many() from None
    except json_in_steps.TooLarge:
        raise Unreadable("invalid_json", _TOO_LARGE) from None
    except json_in_steps.NamedTwice as twice:
        raise Unreadable("invalid_json", Fault("", str(twice))) from None
    except (ValueError, RecursionError):
        raise Unreadable("invalid_json", Fault("", "is not JSON")) from None
    if not isinstance(data, dict):
        raise Unreadable("invalid_json", Fault("", "must be a JSON object"))
    return data


def from_csv(body: bytes, charset: str | None) -> Rows:
    """The rows of a CSV. Raises what Rows raises, and Unreadable for characters that are none."""
    return Rows(_decoded(body, charset))


def _too_many() -> Unreadable:
    return Unreadable("invalid_input", Fault("/leads", f"may be {MOST_LEADS:,} at most: make several runs"))


def _columns(reader: Any) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Where our own columns are, and which others there are. Raises Unreadable, csv.Error."""
    header = [cell.strip() for cell in next(reader, [])]
    named = {name: _column(header, name) for name in ("phone", "lead_id", "name")}
    if named["phone"] is None:
        raise Unreadable("no_phone_column", Fault("/line/1", "must name the columns, one of them phone"))
    own = [(name, i) for name, i in named.items() if i is not None]
    return own, [(name, i) for i, name in enumerate(header) if i not in named.values() and name]


def _of_bounded_length(line: str) -> str:
    # Of a single line as long as a body may be tens of millions of cells would be made.
    if len(line) > json_in_steps.LONGEST_VALUE:
        raise _LongLine
    return line


def _column(header: list[str], name: str) -> int | None:
    return next((i for i, cell in enumerate(header) if cell.lower() == name), None)


def _decoded(body: bytes, charset: str | None) -> str:
    marked = next((encoding for mark, encoding in _MARKS if body.startswith(mark)), None)
    try:
        return body.decode(marked or charset or "utf-8")
    except (ValueError, LookupError):  # a UnicodeError is a ValueError; so is a NUL in the name
        fault = Fault("", "is not in UTF-8; name another encoding with charset= in Content-Type")
        raise Unreadable("invalid_encoding", fault) from None
