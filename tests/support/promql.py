"""What an expression of Prometheus names: enough of the language for the rules and the dashboard of this project."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_SELECTOR = re.compile(r"\b([a-z_][a-z0-9_]*)\b(?:\{([^}]*)\})?(?!\s*\()")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_KEYWORDS = {"and", "or", "unless"}


@dataclass(frozen=True)
class Selector:
    """A metric and what its labels must be: (label, operator, value)."""

    name: str
    matchers: tuple[tuple[str, str, str], ...] = ()

    def selects(self, samples: Iterable[Any]) -> bool:
        """Whether any of a scrape's samples is meant."""
        return any(
            sample.name == self.name
            and all(_matches(sample.labels.get(label, ""), how, value) for label, how, value in self.matchers)
            for sample in samples
        )


def selectors(expression: str) -> Iterator[Selector]:
    """Every metric that an expression reads, as it is selected there."""
    bare = _RANGE.sub("", _GROUPING.sub("", expression))
    for name, matchers in _SELECTOR.findall(bare):
        if name not in _KEYWORDS:
            yield Selector(name, tuple(_MATCHER.findall(matchers)))


def _matches(found: str, how: str, value: str) -> bool:
    is_it = re.fullmatch(value, found) is not None if "~" in how else found == value
    return is_it != how.startswith("!")
