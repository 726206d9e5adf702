"""The rules and the dashboard, read from their files."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import tools

TOP = Path(__file__).parents[2]
PROMETHEUS = TOP / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
CASES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
DASHBOARD: dict[str, Any] = json.loads((TOP / "deploy" / "grafana" / "dialer.json").read_text())


def rule_expressions() -> Iterator[tuple[str, str]]:
    """Alert and expression."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Panel and expression, with a fixed range in place of Grafana's."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def case_series() -> Iterator[str]:
    """Every series that the rules' unit tests feed."""
    for case in CASES:
        for series in case["input_series"]:
            yield series["series"]


def in_neither() -> set[str]:
    """The metrics of which docs/metrics.md says that no alert and no panel needs them."""
    section = (TOP / "docs/metrics.md").read_text().split("## Alerts and the dashboard")[1]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def promtool(*arguments: str | Path, said: str = "") -> str:
    """Run it; what it says. Skips where it cannot be had; fails when it finds a fault."""
    program = tools.find("promtool")
    if program is None:
        pytest.skip("promtool cannot be had here (package prometheus; `make .venv/.tools` says why)")
    ran = subprocess.run(
        [program, *arguments], input=said, capture_output=True, text=True, timeout=100, env=tools.environment()
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
