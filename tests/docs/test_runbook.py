"""The runbook: an entry for each alert, and everything that it tells somebody to type is there."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import click
import pytest

from dialer.cli import main
from dialer.config import Settings
from tests.docs.test_documents import first_column
from tests.support.monitoring import RULES
from tests.support.promql import selectors

TOP = Path(__file__).parents[2]
TEXT = (TOP / "docs/runbook.md").read_text()
ENTRIES: dict[str, str] = dict(re.findall(r"^## (Dialer\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
METRICS = set(re.findall(r"^\| `(dialer_\w+)`", (TOP / "docs/metrics.md").read_text(), re.MULTILINE))
# Words in capitals that are neither settings nor events: SQL, and what a person puts in its place.
OTHER_WORDS = {"DIALER_URL", "DIALER_TOKEN", "UPDATE", "SIGTERM", "JOB_ID", "CALL_SID", "DAEMON"}

# Commands that are being written; each goes from here when it is there.
COMING = {"doctor", "slots", "drain", "config"}


def fenced(document: str, language: str) -> list[str]:
    """The blocks of a language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", (TOP / document).read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every `dialer` command that it names."""
    lines = [line for block in fenced("docs/runbook.md", "sh") for line in block.splitlines()]
    inline = re.findall(r"`(dialer [^`]*)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
    return sorted({text for text in (*lines, *inline) if text.startswith("dialer ")})


def statements() -> list[str]:
    """Every statement that an operator is told to run."""
    blocks = [*fenced("docs/runbook.md", "sql"), *fenced("docs/operating.md", "sql")]
    return [statement for block in blocks for statement in block.split(";") if statement.strip()]


def test_each_alert_has_its_entry_and_each_entry_its_alert() -> None:
    assert list(ENTRIES) == [rule["alert"] for rule in RULES]
    anchors = {heading.lower() for heading in ENTRIES}
    assert {rule["annotations"]["runbook_url"].split("#")[1] for rule in RULES} == anchors
    assert set(re.findall(r"Dialer\w+", TEXT)) == set(ENTRIES)


@pytest.mark.parametrize("alert", ENTRIES)
def test_an_entry_says_what_it_means_how_to_see_it_and_what_to_do_and_not_to_do(alert: str) -> None:
    assert re.findall(r"^\*\*([A-Z][a-z ]+?)\.?\*\*", ENTRIES[alert], re.MULTILINE) == [
        *("Means", "Look", "Do", "Do not")
    ]


@pytest.mark.parametrize("text", commands())
def test_every_command_exists_with_its_options(text: str) -> None:
    words = text.split()[1:]
    if words[0] in COMING and words[0] not in main.commands:
        pytest.skip(f"dialer {words[0]} is not there yet")
    command: click.Command = main
    while words and isinstance(command, click.Group):
        assert words[0] in command.commands, text
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


async def test_every_statement_fits_the_schema(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        for statement in statements():
            await connection.prepare(statement)
    finally:
        await connection.close()
    assert len(statements()) > len(ENTRIES) / 2


def test_every_metric_setting_and_event_exists() -> None:
    told = {selector.name for block in fenced("docs/runbook.md", "promql") for selector in selectors(block)}
    assert told | set(re.findall(r"\bdialer_[a-z_]+_(?:total|seconds|calls|runs)\b", TEXT)) <= METRICS
    words = set(re.findall(r"`\$?([A-Z][A-Z_]{4,})`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)))
    events = set(first_column("docs/log.md"))
    assert words - {name.upper() for name in Settings.model_fields} - events - OTHER_WORDS == set()
