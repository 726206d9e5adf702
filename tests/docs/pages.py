"""The documents, read: prose and code apart, headings with the anchors that they get, links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*TOP.glob("*.md"), *(p for folder in ("docs", "bench", "deploy") for p in (TOP / folder).rglob("*.md"))]
)

# What blocks of commands say that they are.
SHELLS = ("sh", "bash", "shell")

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^ *```\s*$", re.MULTILINE | re.DOTALL
)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[((?:[^][\n]|\n(?!\n))*)\]\(([^)\s]+)\)|href=\"([^\"]+)\"")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True)
class Fence:
    """A block of code in a document. `line` is that of its first line of code."""

    document: Path
    language: str
    text: str
    line: int

    @property
    def where(self) -> str:
        return f"{name_of(self.document)}:{self.line}"


def name_of(document: Path) -> str:
    return str(document.relative_to(TOP))


@cache
def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


@cache
def fences_of(document: Path) -> tuple[Fence, ...]:
    text = text_of(document)
    return tuple(
        Fence(document, f["language"], f["body"], text.count("\n", 0, f.start("body")) + 1)
        for f in _FENCE.finditer(text)
    )


@cache
def prose_of(document: Path) -> str:
    """The document without its blocks of code."""
    return _FENCE.sub("", text_of(document))


def spans_of(document: Path) -> list[str]:
    """What stands between backticks in a line."""
    return [span.replace("\\|", "|") for span in _SPAN.findall(prose_of(document))]


def links_of(document: Path) -> list[str]:
    """The targets of all links, in order."""
    without_code = _SPAN.sub("code", prose_of(document))
    return [target or other for _, target, other in _LINK.findall(without_code)]


@cache
def anchors_of(document: Path) -> frozenset[str]:
    """What `#…` may lead to, as GitHub makes it of the headings."""
    seen: Counter[str] = Counter()
    anchors = set()
    for _, heading in _HEADING.findall(prose_of(document)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return frozenset(anchors | set(re.findall(r"\bid=\"([^\"]+)\"", text_of(document))))


def rows_under(document: Path, heading: str) -> Iterator[list[str]]:
    """The cells of each row of the tables between this heading and the next one, without their heads."""
    _, _, rest = text_of(document).partition(f"\n{heading}\n")
    assert rest, f"{name_of(document)} has no {heading!r}"
    level = heading.split(" ")[0]
    body = re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    lines = body.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("| ") and before.startswith("|"):
            yield [cell.strip() for cell in line.strip().strip("|").split(" | ")]
