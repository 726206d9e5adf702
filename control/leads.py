"""A calling list: from the body of a start to leads that can be dialed, each bad one named by its position."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from control import json_in_steps
from control.payloads import LONGEST_LEAD_ID, LONGEST_NAME, LONGEST_VARIABLES, MOST_LEADS, is_storable, whole
from control.phones import e164
from control.problems import Fault

# Postgres spells numbers out: beyond these a few characters would become hundreds.
LARGEST_FLOAT, SMALLEST_FLOAT = 1e25, 1e-25

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Unreadable(Exception):
    """The body cannot be read as what it claims to be: tell the sender where."""

    def __init__(self, code: str, fault: Fault) -> None:
        super().__init__(code)
        self.code, self.fault = code, fault


class Lead(NamedTuple):
    """Somebody to call. `variables` is a JSON object, or None when there are none."""

    phone: str
    lead_id: str | None
    name: str | None
    variables: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A lead that is not dialed: its position in what was sent, and a stable word for why."""

    index: int
    code: str


@dataclass
class CallingList:
    """Every lead is accounted for: accepted, rejected, or a duplicate of an accepted one."""

    accepted: list[Lead] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    duplicates: int = 0


def calling_list(leads: list[Any], region: str | None) -> CallingList:
    """Read the leads; numbers not in full are of `region`. Some 20 us a lead: too long for the event loop.

    It empties `leads` on its way: 100,000 of them given back at once would stop every thread for 50 ms.
    """
    result = CallingList()
    seen: set[str] = set()
    for index, raw in enumerate(leads):
        leads[index] = None
        lead = _lead(raw, region)
        if isinstance(lead, str):
            result.rejected.append(Rejected(index, lead))
        elif lead.phone in seen:
            result.duplicates += 1
        else:
            seen.add(lead.phone)
            result.accepted.append(lead)
    return result


def from_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a start, leads and all. Raises Unreadable."""
    try:
        data = json_in_steps.decode(body.decode("utf-8-sig"), long_array="leads", most_elements=MOST_LEADS)
    except json_in_steps.TooLong:
        raise _too_many() from None
    except json_in_steps.NamedTwice as twice:
        raise Unreadable("invalid_json", Fault("", str(twice))) from None
    except (ValueError, RecursionError):
        raise Unreadable("invalid_json", Fault("", "is not JSON")) from None
    if not isinstance(data, dict):
        raise Unreadable("invalid_json", Fault("", "must be a JSON object"))
    return data


def from_csv(body: bytes, charset: str | None) -> list[dict[str, Any]]:
    """The rows of a CSV as leads. Separated by comma, semicolon or tab, whichever the first line has most of.

    Raises Unreadable: wrong characters, a quote that never ends, no column `phone`, more than MOST_LEADS.
    """
    text = _decoded(body, charset)
    header_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=header_line.count)
    # strict: a quote that is never closed would otherwise swallow the rest of the list into one lead.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = list(islice(_rows(reader), MOST_LEADS + 1))
    except csv.Error:
        fault = Fault(f"/line/{reader.line_num}", "is not CSV: a stray quote, or a cell without end")
        raise Unreadable("invalid_csv", fault) from None
    if len(rows) > MOST_LEADS:
        raise _too_many()
    return rows


def _too_many() -> Unreadable:
    return Unreadable("invalid_input", Fault("/leads", f"may be {MOST_LEADS:,} at most: make several runs"))


def _rows(reader: Any) -> Iterator[dict[str, Any]]:
    header = [cell.strip() for cell in next(reader, [])]
    own = {name: _column(header, name) for name in ("phone", "lead_id", "name")}
    if own["phone"] is None:
        raise Unreadable("no_phone_column", Fault("/line/1", "must name the columns, one of them phone"))
    others = [(i, name) for i, name in enumerate(header) if i not in own.values() and name]
    for cells in reader:
        if not cells:
            continue
        lead: dict[str, Any] = {
            name: cells[i] for name, i in own.items() if i is not None and i < len(cells) and cells[i]
        }
        lead["variables"] = {name: cells[i] for i, name in others if i < len(cells)}
        yield lead


def _column(header: list[str], name: str) -> int | None:
    return next((i for i, cell in enumerate(header) if cell.lower() == name), None)


def _decoded(body: bytes, charset: str | None) -> str:
    marked = next((encoding for mark, encoding in _MARKS if body.startswith(mark)), None)
    try:
        return body.decode(marked or charset or "utf-8")
    except (ValueError, LookupError):  # a UnicodeError is a ValueError; so is a NUL in the name
        fault = Fault("", "is not in UTF-8; name another encoding with charset= in Content-Type")
        raise Unreadable("invalid_encoding", fault) from None


def _lead(raw: Any, region: str | None) -> Lead | str:
    """The lead, or the code of why it is none."""
    if not isinstance(raw, dict):
        return "invalid_lead"
    written = raw.get("phone")
    if written is None or (isinstance(written, str) and not written.strip()):
        return "missing_phone"
    phone = e164(written, region) if isinstance(written, str) else None
    if phone is None:
        return "invalid_phone"
    try:
        lead_id, name = _lead_id(raw.get("lead_id")), _text(raw.get("name"), LONGEST_NAME)
        return Lead(phone, lead_id, name, _variables(raw.get("variables")))
    except (ValueError, RecursionError):
        return "invalid_lead"


def _lead_id(value: Any) -> str | None:
    # Systems that count their leads send the number; some know no other than 2502.0.
    value = whole(value)
    return _text(str(value) if type(value) is int else value, LONGEST_LEAD_ID)


def _text(value: Any, longest: int) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) <= longest and is_storable(value)):
        raise ValueError
    return value


def _variables(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not _is_storable_json(value):
        raise ValueError
    text = json.dumps(value, ensure_ascii=False) if value else None
    if text is not None and len(text) > LONGEST_VARIABLES:
        raise ValueError
    return text


def _is_storable_json(value: Any) -> bool:
    if isinstance(value, str):
        return is_storable(value)
    if isinstance(value, dict):
        return all(is_storable(name) and _is_storable_json(member) for name, member in value.items())
    if isinstance(value, list):
        return all(map(_is_storable_json, value))
    if isinstance(value, float):
        return value == 0 or SMALLEST_FLOAT < abs(value) < LARGEST_FLOAT
    return True
