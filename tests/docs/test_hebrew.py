"""The Hebrew pages: text from right to left, commands from left to right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import TOP, name_of, prose_of, spans_of, text_of

PAGES = sorted((TOP / "docs" / "he").glob("*.md"))
HEBREW = re.compile("[\u05d0-\u05ea]")


def test_there_are_some() -> None:
    assert {page.name for page in PAGES} >= {"quick-start.md", "troubleshooting.md"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_prose_is_in_a_division_from_right_to_left_and_code_is_in_none(page: Path) -> None:
    inside = fenced = False
    for line in text_of(page).splitlines():
        if line.startswith("```"):
            fenced = not fenced
            assert not inside, line
        elif not fenced and line in ('<div dir="rtl">', "</div>"):
            assert inside == (line == "</div>"), line
            inside = not inside
        elif not fenced and HEBREW.search(line):
            assert inside, line
    assert not inside


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_within_text_begins_with_a_letter(page: Path) -> None:
    """What begins or ends with a sign, or begins with a digit, would be turned round by the text about it."""
    assert [span for span in spans_of(page) if not re.fullmatch(r"[A-Za-z](.*[A-Za-z0-9])?", span)] == []
    assert [span for span in spans_of(page) if HEBREW.search(span)] == []
    assert len(HEBREW.findall(prose_of(page))) > 1000
