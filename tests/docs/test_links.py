"""Links between documents lead somewhere, to the heading that they name; nobody is alone."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCUMENTS, TOP, anchors_of, links_of, name_of

LOCAL = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
HOST = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,}(:\d+)?")


def _is_outside(link: str) -> bool:
    return bool(urlsplit(link).scheme)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document: Path) -> None:
    astray = []
    for link in links_of(document):
        if _is_outside(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            astray.append(link)
    assert astray == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_to_the_outside_has_the_shape_of_one(document: Path) -> None:
    def is_well(link: str) -> bool:
        parts = urlsplit(link)
        return (parts.scheme == "https" and bool(HOST.fullmatch(parts.netloc))) or (
            parts.scheme in ("http", "https") and bool(LOCAL.fullmatch(parts.netloc))
        )

    assert [link for link in links_of(document) if _is_outside(link) and not is_well(link)] == []


def test_every_document_can_be_found_from_the_readme() -> None:
    found: set[Path] = set()
    looked_at = [TOP / "README.md"]
    while looked_at:
        document = looked_at.pop()
        found.add(document)
        targets = {(document.parent / link.partition("#")[0]).resolve() for link in links_of(document)}
        looked_at += [target for target in targets & set(DOCUMENTS) if target not in found]
    assert [name_of(document) for document in DOCUMENTS if document not in found] == []
