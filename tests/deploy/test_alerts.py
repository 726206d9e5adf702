"""The rules: what promtool says of them, and that each is shown firing, not yet, and not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.monitoring import CASES, PROMETHEUS, RULES, TOP, promtool

ALERTS = [rule["alert"] for rule in RULES]


def test_promtool_takes_the_rules() -> None:
    said = promtool("check", "rules", PROMETHEUS / "alerts.yml")
    assert f"{len(RULES)} rules found" in said


def test_each_rule_fires_when_it_ought_to_and_not_otherwise() -> None:
    promtool("test", "rules", PROMETHEUS / "alerts_test.yml")


def test_promtool_takes_the_configuration_that_the_document_gives(tmp_path: Path) -> None:
    [written] = re.findall(r"^```yaml\n(.*?)^```", (TOP / "docs/metrics.md").read_text(), re.MULTILINE | re.DOTALL)
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    (tmp_path / "prometheus.yml").write_text(written)
    said = promtool("check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    assert "is valid prometheus config file syntax" in said


def test_names_are_given_once() -> None:
    assert len(set(ALERTS)) == len(ALERTS)
    cases = [case["name"] for case in CASES]
    assert len(set(cases)) == len(cases)


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_a_rule_says_how_bad_it_is_in_plain_words_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert set(said) == {"summary", "runbook_url"}
    assert said["summary"].endswith(".")
    # Whoever reads it at night has not read the metrics' names.
    assert "dialer_" not in said["summary"]
    assert said["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_a_rule_is_tested_firing_and_not_firing(rule: dict[str, Any]) -> None:
    checks = [
        (case["name"], bool(check.get("exp_alerts")))
        for case in CASES
        for check in case["alert_rule_test"]
        if check["alertname"] == rule["alert"]
    ]
    firing_in = {case for case, fires in checks if fires}
    assert firing_in
    assert ("all is well", False) in checks
    # Near by: a moment too early, or a little less than it takes.
    assert [case for case, fires in checks if not fires and case != "all is well"]
    said = [
        alert["exp_annotations"]["summary"]
        for case in CASES
        for check in case["alert_rule_test"]
        if check["alertname"] == rule["alert"]
        for alert in check.get("exp_alerts", ())
    ]
    assert all("{{" not in summary and "%!" not in summary for summary in said)
