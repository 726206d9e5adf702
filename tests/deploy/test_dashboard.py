"""The dashboard can be imported, asks what Prometheus understands, and shows what it promises."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.support.monitoring import DASHBOARD, panel_expressions, promtool

PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
WITH_FIGURES = [panel for panel in PANELS if panel["type"] != "row"]
WIDTH = 24
PROMISED = {
    *("Live calls and the limit", "Hand-off", "Ended, by disposition", "Callbacks, by result", "Heartbeats"),
    *("Create requests, by outcome", "Slots mended", "Oldest job that waits", "Recordings that wait"),
    *("Daemons", "Unknown attempts", "Open runs", "Requests, by status"),
}


def test_it_is_a_dashboard_of_its_own() -> None:
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert DASHBOARD["uid"] == DASHBOARD["title"] == "dialer"
    # Set by Grafana when it is stored; with one it would overwrite another.
    assert "id" not in DASHBOARD
    assert {panel["title"] for panel in PANELS} >= PROMISED


def test_whoever_imports_it_chooses_the_source() -> None:
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert {(p["datasource"]["type"], p["datasource"]["uid"]) for p in WITH_FIGURES} == {
        ("prometheus", "${datasource}")
    }


def test_every_panel_has_a_number_a_name_and_says_what_it_shows() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in WITH_FIGURES:
        assert panel["type"] in ("stat", "timeseries", "table")
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        assert {"defaults", "overrides"} == set(panel["fieldConfig"])
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))
        assert all(target["expr"] and "legendFormat" in target for target in panel["targets"])


def test_panels_lie_within_the_width_and_on_no_other() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    assert all(p["x"] >= 0 and p["x"] + p["w"] <= WIDTH for p in places)
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above
    rows = [panel["gridPos"]["y"] for panel in PANELS if panel["type"] == "row"]
    assert all(earlier < later for earlier, later in pairwise(rows))


def test_promtool_understands_every_expression(tmp_path: Path) -> None:
    """As rules, since that is what it reads."""
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_, expression) in enumerate(panel_expressions())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
