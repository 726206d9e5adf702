"""What the documents name is there, and what is there they name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from dialer.config import Settings

TOP = Path(__file__).parents[2]
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


def test_every_setting_has_the_default_that_is_told() -> None:
    told = {
        match[1].lower(): match[2]
        for line in (TOP / "docs/configuration.md").read_text().splitlines()
        if (match := re.match(r"\| `([A-Z_]+)`[ ●]*\| `([^`]+)`", line))
    }
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    plain = {name: str(value) for name, value in defaults.items() if isinstance(value, (int, float, str, Path))}
    # What depends on others, or is made of them, is told in words.
    compared = told.keys() & plain.keys() - {"recordings_dir", "public_base_url"}
    assert {name: _as_number(told[name]) for name in compared} == {
        name: _as_number(plain[name]) for name in compared
    }
    assert len(compared) > 25


def _as_number(text: str) -> float | str:
    try:
        return float({"False": "0", "True": "1"}.get(text, text))
    except ValueError:
        return text


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
