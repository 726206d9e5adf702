"""The schema and every statement of the dialer, as SQL files; nothing here acts.

`query(name)` gives the text of a named statement of `sql/queries/*.sql`. There each is headed by a line
`-- name: some_name`, followed by comment lines that say what it does.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

QUERIES = Path(__file__).parent / "queries"

_HEADING = re.compile(r"^-- name:(?P<name>.*)$", re.MULTILINE)


class QueryFileError(Exception):
    """A file of queries is malformed; the message names the file and what to mend."""


def query(name: str) -> str:
    """The text of the statement `name`, without its heading. Raises KeyError when there is none."""
    return _all()[name]


def names() -> list[str]:
    """The names of all statements, sorted."""
    return sorted(_all())


def load(directory: Path) -> dict[str, str]:
    """Read every `*.sql` file of a directory: name to statement. Raises QueryFileError."""
    statements: dict[str, str] = {}
    for path in sorted(directory.glob("*.sql")):
        for name, statement in _parse(path):
            if name in statements:
                raise QueryFileError(f"{path.name}: the name {name} is used twice")
            statements[name] = statement
    return statements


@cache
def _all() -> dict[str, str]:
    return load(QUERIES)


def _parse(path: Path) -> list[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    headings = list(_HEADING.finditer(text))
    starts = [heading.start() for heading in headings]
    before = text[: starts[0]] if starts else text
    if any(line.strip() and not line.startswith("--") for line in before.splitlines()):
        raise QueryFileError(f"{path.name}: a statement stands before the first `-- name:` line")
    found = []
    for heading, end in zip(headings, [*starts[1:], len(text)], strict=False):
        name = heading["name"].strip()
        if not name.isidentifier():
            raise QueryFileError(f"{path.name}: {name!r} is no name for a statement")
        found.append((name, _statement(text[heading.end() : end], f"{path.name}: {name}")))
    return found


def _statement(section: str, place: str) -> str:
    """A section without the comment lines at its top, of which there must be one at least."""
    lines = section.strip().splitlines()
    first = next((index for index, line in enumerate(lines) if line and not line.startswith("--")), len(lines))
    if first == 0:
        raise QueryFileError(f"{place}: no comment says what it does")
    statement = "\n".join(lines[first:])
    if not statement:
        raise QueryFileError(f"{place}: there is no statement")
    return statement
