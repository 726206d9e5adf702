"""What the documents name is there, and what is there they name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.routes import CALLBACKS, PROBES, ROUTES
from dialer.config import Settings

TOP = Path(__file__).parents[2]
DOCUMENTS = [*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), *(TOP / "bench").glob("*.md")]
# Of the command line, and of libraries.
OTHER_VARIABLES = {
    *("DIALER_URL", "DIALER_TOKEN", "DIALER_TOKEN_FILE", "DIALER_BUSINESS", "NO_COLOR"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
}
LEVELS = ("debug", "info", "warning", "error")


def test_every_log_event_is_in_the_log_document_and_the_reverse() -> None:
    documented = set(first_column("docs/log.md"))
    assert set(logged()) - documented == set()
    # Some are chosen before they are logged: it is enough that the code knows the word.
    assert documented - set(constants()) == set()


def test_every_setting_is_in_the_configuration_document_and_the_reverse() -> None:
    variables = {name for name in first_column("docs/configuration.md") if not name.startswith("AWS_")}
    assert variables == {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES


def test_every_path_is_in_the_http_document() -> None:
    text = (TOP / "docs/http.md").read_text()
    paths = {path for path, _ in (*PROBES, *CALLBACKS)} | {path for _, path, _, _ in ROUTES}
    told = set(re.findall(r"/[\w/{}.-]+", text))
    assert paths - told == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def first_column(document: str) -> Iterator[str]:
    """The names in capitals in the first column of a document's tables."""
    for line in (TOP / document).read_text().splitlines():
        if line.startswith("| `"):
            yield from re.findall(r"`([A-Z][A-Z0-9_]{2,})`", line.split(" | ")[0])


def logged() -> Iterator[str]:
    """Every event in capitals that the code logs."""
    for node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            for argument in node.args[:1]:
                yield from _names(ast.walk(argument))


def constants() -> Iterator[str]:
    """Every word in capitals that the code has as a string."""
    return _names(nodes())


def nodes() -> Iterator[ast.AST]:
    for package in ("dialer", "control", "sql"):
        for path in (TOP / package).rglob("*.py"):
            yield from ast.walk(ast.parse(path.read_text()))


def _names(found: Iterator[ast.AST]) -> Iterator[str]:
    for node in found:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch("[A-Z_]{4,}", node.value)
        ):
            yield node.value
