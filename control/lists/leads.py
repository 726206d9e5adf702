"""A calling list, judged: leads that can be dialed, and each other one named by its position."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from control.document.payloads import LONGEST_LEAD_ID, LONGEST_NAME, LONGEST_VARIABLES, is_storable, whole
from control.lists.phones import e164

# Postgres spells numbers out: beyond these a few characters would become hundreds.
LARGEST_FLOAT, SMALLEST_FLOAT = 1e25, 1e-25
# So many are written or read in a third of a millisecond, in which no other thread gets its turn; of long ones fewer.
LEADS_IN_A_PIECE, CHARACTERS_IN_A_PIECE = 500, 131_072

_text_of = json.JSONEncoder(ensure_ascii=False).encode


class Lead(NamedTuple):
    """Somebody to call. `variables` is a JSON object, or None when there are none."""

    phone: str
    lead_id: str | None
    name: str | None
    variables: str | None


class Leads:
    """Leads in the order of the list, packed as text: as objects they would take ten times the room."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._open: list[Lead] = []
        self._count = self._characters = 0

    def append(self, lead: Lead) -> None:
        self._open.append(lead)
        self._count += 1
        self._characters += len(lead.variables or "")
        if len(self._open) == LEADS_IN_A_PIECE or self._characters > CHARACTERS_IN_A_PIECE:
            self._packed.append(_text_of(self._open).encode())
            self._open, self._characters = [], 0

    def __len__(self) -> int:
        return self._count

    def pieces(self) -> Iterator[Sequence[Sequence[str | None]]]:
        """All of them, some at a time, each as the columns of a Lead."""
        yield from map(json.loads, self._packed)
        yield self._open


@dataclass(frozen=True, slots=True)
class Rejected:
    """A lead that is not dialed: its position in what was sent, and a stable word for why."""

    index: int
    code: str


@dataclass
class CallingList:
    """Every lead is accounted for: accepted, rejected, or a duplicate of an accepted one."""

    accepted: Leads = field(default_factory=Leads)
    rejected: list[Rejected] = field(default_factory=list)
    duplicates: int = 0


def calling_list(leads: Iterable[Any], region: str | None) -> CallingList:
    """Read the leads; numbers not in full are of `region`. Some 5 us a lead: too long for the event loop."""
    result = CallingList()
    seen: set[int] = set()
    for index, raw in enumerate(leads):
        lead = _lead(raw, region)
        if isinstance(lead, str):
            result.rejected.append(Rejected(index, lead))
        elif (number := int(lead.phone)) in seen:  # half the size of the text
            result.duplicates += 1
        else:
            seen.add(number)
            result.accepted.append(lead)
    return result


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
    text = _text_of(value) if value else None
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
