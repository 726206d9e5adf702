"""Which bytes of a file a request wants: the conditions of RFC 9110, decided without touching anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.ASCII)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole file: 200."""


@dataclass(frozen=True, slots=True)
class Part:
    """From byte `start` up to and without `end`: 206."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The caller has it already: 304."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """Nothing of the file is there: 416."""


Wanted = Whole | Part | Unchanged | Beyond


def wanted(method: str, headers: Mapping[str, str], etag: str, size: int) -> Wanted:
    """What to answer. `headers`: the request's, by names in any case; `etag` with its quotes; `size` in bytes."""
    known = headers.get("If-None-Match")
    if known is not None and _is_among(etag, known):
        return Unchanged()
    asked = headers.get("Range")
    # A range is defined for GET alone. A part to complete another file would make a third.
    if asked is None or method != "GET" or headers.get("If-Range", etag).strip() != etag:
        return Whole()
    return _part(asked, size)


def _is_among(etag: str, known: str) -> bool:
    return known.strip() == "*" or etag in _TAG.findall(known)


def _part(asked: str, size: int) -> Whole | Part | Beyond:
    found = _ONE_RANGE.fullmatch(asked.strip())
    # Several ranges, another unit, nonsense: to be ignored, says the RFC.
    if found is None or found.groups() == ("", ""):
        return Whole()
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return Part(size - length, size) if length else Beyond()
    start = int(first)
    if last and int(last) < start:
        return Whole()
    return Part(start, min(int(last) + 1, size) if last else size) if start < size else Beyond()
