"""A large JSON object, decoded so that other threads get their turn.

`json.loads` holds the interpreter until it is through: 150 ms for 100,000 leads, in which no callback would be
answered, whichever thread it runs in; and it needs ten times the room of the text. Here the elements of one long array
are decoded one by one. And none is decoded that is longer than anything that is wanted: a single one of "[[], [], ...",
as long as a body may be, would stop all threads for ten seconds.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

# The longest text that is taken, each of its characters escaped, has 786,432.
LONGEST_VALUE = 1 << 20
# More than a body of 64 KiB has room for; of ours none has a hundredth of it.
MOST_MEMBERS = 10_000

_STEP = LONGEST_VALUE // 4

_space = re.compile(r"[ \t\n\r]*").match


class NamedTwice(ValueError):
    """An object has two members of one name. Its text says so to the sender, and does not repeat the name."""

    def __init__(self) -> None:
        super().__init__("names a member twice")


class TooLong(ValueError):
    """The long array has more elements than it may have: it was not decoded to its end."""


class TooLarge(ValueError):
    """The outermost object has more than MOST_MEMBERS, or, if it is JSON at all, a value of over LONGEST_VALUE."""


class Elements:
    """A long array, known to be one. Whoever goes through it decodes it once more: it never lies there whole."""

    def __init__(self, text: str, start: int, count: int) -> None:
        self._text, self._start, self._count = text, start, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return (element for element, _ in _each(self._text, self._start))


def decode(text: str, long_array: str | None = None, most_elements: int = sys.maxsize) -> Any:
    """What `json.loads` gives, but for the member `long_array` of the outermost object: if that is an array it is
    given as Elements.

    Raises TooLong where that has more than `most_elements`, ValueError where the text is not JSON (NaN and Infinity
    are not), NamedTwice where an object has two members of one name (which of them was meant?), RecursionError where
    it is too deep. TooLarge where a value is longer than LONGEST_VALUE, and instead of ValueError in a long text: what
    was cut off and what was broken look alike.
    """
    position = _skip(text, 0)
    if text[position : position + 1] == "{":
        value, position = _object(text, position + 1, long_array, most_elements)
    else:
        value, position = _Values(text).at(position)
    if _skip(text, position) != len(text):
        raise _expected("the end", text, position)
    return value


def _object(text: str, position: int, long_array: str | None, most_elements: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    value_at = _Values(text).at
    position = _skip(text, position)
    if text[position : position + 1] == "}":
        return members, position + 1
    while True:
        key, position = value_at(position)
        if not isinstance(key, str):
            raise _expected("a name", text, position)
        if key in members:
            raise NamedTwice
        if len(members) == MOST_MEMBERS:
            raise TooLarge
        position = _skip(text, _take(":", text, position))
        if key == long_array and text[position : position + 1] == "[":
            members[key], position = _array(text, position + 1, most_elements)
        else:
            members[key], position = value_at(position)
        position = _skip(text, position)
        if text[position : position + 1] == "}":
            return members, position + 1
        position = _skip(text, _take(",", text, position))


def _array(text: str, start: int, most_elements: int) -> tuple[Elements, int]:
    count, end = 0, start
    for _, after in _each(text, start, most_elements):
        count, end = count + 1, after
    return Elements(text, start, count), _skip(text, end) + 1


def _each(text: str, position: int, most_elements: int = sys.maxsize) -> Iterator[tuple[Any, int]]:
    """The elements of the array that is open at `position`, each with where it ends."""
    position = _skip(text, position)
    if text[position : position + 1] == "]":
        return
    value_at = _Values(text).at
    for _ in range(most_elements):
        element, position = value_at(position)
        yield element, position
        position = _skip(text, position)
        mark = text[position : position + 1]
        if mark == "]":
            return
        if mark != ",":
            raise _expected(",", text, position)
        position = _skip(text, position + 1)
    raise TooLong


class _Values:
    """The values in a text, decoded from a part of it that moves along with them."""

    def __init__(self, text: str) -> None:
        self._text, self._start = text, 0
        self._part = text[: LONGEST_VALUE + _STEP]

    def at(self, position: int) -> tuple[Any, int]:
        """The value that begins there, and where it ends. Raises what `decode` raises."""
        if position - self._start > _STEP:
            self._start = position
            self._part = self._text[position : position + LONGEST_VALUE + _STEP]
        try:
            value, end = _scan(self._part, position - self._start)
        except json.JSONDecodeError:
            if self._start + len(self._part) == len(self._text):
                raise
            raise TooLarge from None
        return value, self._start + end


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NamedTwice
    return members


_scan = json.JSONDecoder(parse_constant=_no_number, object_pairs_hook=_named_once).raw_decode


def _skip(text: str, position: int) -> int:
    space = _space(text, position)
    return space.end() if space else position


def _take(mark: str, text: str, position: int) -> int:
    position = _skip(text, position)
    if text[position : position + 1] != mark:
        raise _expected(mark, text, position)
    return position + 1


def _expected(what: str, text: str, position: int) -> json.JSONDecodeError:
    return json.JSONDecodeError(f"expected {what}", text, position)
