"""What docs/deploying.md names is there, and what is there it names."""

from __future__ import annotations

import re

import pytest

from tests.deploy.reading import KNOWN, TOP

TEXT = (TOP / "docs" / "deploying.md").read_text()
# Of the composition, the log, and any secret.
OTHERS = {"CONTROL_PUBLISH", "WATCHDOG_WITHHELD", "NAME_FILE"}


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"deploy/[\w./*-]+\w", TEXT)
    assert [path for path in named if not list(TOP.glob(path))] == []


@pytest.mark.parametrize("folder", ["systemd", "kubernetes", "proxy"])
def test_every_file_that_is_there_it_names(folder: str) -> None:
    assert [path.name for path in (TOP / "deploy" / folder).iterdir() if path.name not in TEXT] == []


def test_every_variable_that_it_names_is_one() -> None:
    named = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)\b", TEXT))
    assert named - KNOWN - OTHERS == set()


def test_every_link_within_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, flags=re.M)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
