"""Names in any document, and in what is deployed: paths, error codes, metrics, alerts and words in capitals exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from control.document.shapes import Rejected
from control.requests.problems import CODES
from dialer.cli import main
from tests.docs.pages import DOCUMENTS, SHELLS, TOP, fences_of, name_of, prose_of, rows_under, spans_of, text_of
from tests.docs.routes import METHODS, ROUTED, is_served
from tests.docs.test_documents import OTHER_VARIABLES

HTTP = TOP / "docs" / "http.md"
ALERTS = TOP / "deploy" / "prometheus" / "alerts.yml"
DEPLOYED = sorted(p for p in (TOP / "deploy").rglob("*") if p.suffix in (".yml", ".yaml", ".json"))

# A defect of ours: nobody can ask for it.
CODES_OF_STATUS = {500: {"internal_error"}, **{status: set(codes) for status, codes in CODES.items()}}
# Where the words of others begin: of AWS, of Postgres and its programs, of systemd, of pip.
FOREIGN = ("AWS_", "PG", "POSTGRES", "NOTIFY_", "WATCHDOG_", "PIP_", "SIG", "CAP_", "EX_")
PLACEHOLDERS = {"BUSINESS_ID", "JOB_ID", "KEY_ID", "RUN_ID"}


def test_the_http_document_has_every_path_with_its_method_and_no_other() -> None:
    named = {
        (method, path)
        for row in re.findall(r"^\| (`(?:GET|HEAD|POST|PATCH|DELETE) .*?) \| ", text_of(HTTP), re.MULTILINE)
        for method, path in re.findall(rf"`({METHODS}) (/[\w/{{}}.-]+)", row)
    }
    assert named == ROUTED


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_that_is_named_exists(document: Path) -> None:
    assert sorted(_astray(text_of(document))) == []


def _astray(text: str) -> Iterator[str]:
    for method, path in re.findall(
        rf"\b(?:({METHODS}) )?(?<![\w./])(/(?:api|webhook)/[\w/{{}}$.*-]*|/(?:livez|readyz))", text
    ):
        if not is_served(method, path.rstrip(".*")):
            yield f"{method} {path}".strip()


def test_the_http_document_has_every_error_code_and_no_other() -> None:
    told: dict[int, set[str]] = {}
    for status, codes, _ in rows_under(HTTP, "## Errors"):
        told.setdefault(int(status), set()).update(re.findall(r"`(\w+)`", codes))
    assert told == CODES_OF_STATUS


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_code_that_stands_beside_a_status_is_one_of_its(document: Path) -> None:
    beside = re.findall(r"\b([45]\d\d),? (?:with (?:the code )?)?`([a-z]+(?:_[a-z]+)+)`", text_of(document))
    assert [(s, code) for s, code in beside if code not in CODES_OF_STATUS.get(int(s), set())] == []


def test_the_http_document_says_why_leads_are_rejected() -> None:
    codes = get_args(Rejected.model_fields["code"].annotation)
    assert [code for code in codes if f"`{code}`" not in text_of(HTTP)] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, *DEPLOYED], ids=name_of)
def test_every_metric_that_is_named_exists(document: Path) -> None:
    """Or it is a table, or another name of ours that looks like a metric's."""
    # In commands names of containers, networks and volumes look like one.
    told = [prose_of(document), *(fence.text for fence in fences_of(document) if fence.language not in SHELLS)]
    named = set(re.findall(r"\bdialer_[a-z_]*[a-z]\b", "\n".join(told)))
    known = metrics()
    assert [n for n in named if re.sub("_(bucket|sum|count)$", "", n) not in known and n not in words()] == []


def metrics() -> set[str]:
    """Those of the document, which tests/control/test_metrics.py holds to the code."""
    return set(re.findall(r"^\| `(dialer_\w+)`", text_of(TOP / "docs" / "metrics.md"), re.MULTILINE))


def test_the_readme_names_every_command() -> None:
    readme = text_of(TOP / "README.md")
    assert [name for name in main.commands if f"dialer {name}" not in readme] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_word_in_capitals_exists(document: Path) -> None:
    """Variables and events of the log: what stands alone between backticks, and variables in commands."""
    named = {
        m[1] for span in spans_of(document) if (m := re.fullmatch(r"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(=.*)?", span))
    }
    for fence in fences_of(document):
        if fence.language in SHELLS:
            named |= set(re.findall(r"(?:^|\s|\$\{?)([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b(?==|\}?)", fence.text))
    unknown = {name for name in named - words() - PLACEHOLDERS - OTHER_VARIABLES if not name.startswith(FOREIGN)}
    assert sorted(name for name in unknown if name.removesuffix("_FILE") not in words()) == []


@cache
def words() -> frozenset[str]:
    """Every word of what runs, and of how it is deployed."""
    folders = (
        "dialer",
        "control",
        "sql",
        "simulator",
        "bench",
        "deploy",
        "tests/model",
        "tests/soak",
        "tests/support",
    )
    files = [path for folder in folders for path in (TOP / folder).rglob("*") if path.suffix != ".md"]
    files += [TOP / name for name in ("Makefile", "Dockerfile", "docker-compose.yml", "pyproject.toml")]
    files = [path for path in files if path.is_file() and path.suffix != ".pyc"]
    found = {word for path in files for word in re.findall(r"\w+", path.read_text("utf-8", "replace"))}
    # Settings are fields in small letters, which variables are not.
    return frozenset(found | {word.upper() for word in found if word.islower()})


def alerts() -> dict[str, Any]:
    if not ALERTS.exists():
        pytest.skip(f"there is no {name_of(ALERTS)}")
    groups = yaml.safe_load(text_of(ALERTS))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_the_runbook_has_an_entry_for_every_alert_and_no_other() -> None:
    headings = (
        re.findall(r"^#+ `?([A-Z]\w+)`?$", text_of(TOP / "docs" / "runbook.md"), re.MULTILINE) if alerts() else []
    )
    assert set(alerts()) - set(headings) == set()
    looks_like_one = re.compile(r"Dialer[A-Z]\w+")
    assert {heading for heading in headings if looks_like_one.fullmatch(heading)} - set(alerts()) == set()
