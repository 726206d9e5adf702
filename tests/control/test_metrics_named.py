"""What alerts and dashboard name is told by a control, and what it tells is named there, or said to be in neither."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.house import House, news, sid
from tests.control.scraping import busy, daemon_with
from tests.support import monitoring
from tests.support.prometheus import Scraped
from tests.support.promql import Selector, selectors

# Labels whose values are of our choice. Others are of Prometheus or HTTP, or name a process.
CHOSEN = {"state", "disposition", "outcome", "verdict", "how", "result", "kind", "action", "route", "le"}
OF_PROMETHEUS = {"instance"}


@pytest.fixture
async def told(house: House) -> str:
    """A scrape in which every figure is there: of calls, callbacks taken and refused, and a daemon."""
    (attempt,) = await house.attempts()
    assert (await house.call_status(attempt, news(sid(), 3, "busy"))).status == 204
    for kind in ("call", "recording"):
        assert (await house.callback(f"/webhook/{kind}_status?attempt={attempt}", {}, "forged")).status == 403
    await daemon_with(house.pool, busy())
    return (await house.ask("GET", "/metrics", None)).text


async def test_alerts_and_dashboard_name_what_is_there_and_the_reverse(told: str) -> None:
    samples = [sample for family in Scraped.of(told).families.values() for sample in family.samples]
    named = [
        (where, selector)
        for where, expression in (*monitoring.rule_expressions(), *monitoring.panel_expressions())
        for selector in selectors(expression)
    ]
    assert [(where, selector) for where, selector in named if not selector.selects(samples)] == []

    families = {stem(sample.name) for sample in samples}
    used = {stem(selector.name) for _, selector in named}
    assert families - used == {stem(name) for name in monitoring.in_neither()}


async def test_the_rules_are_tested_with_series_that_are_there(told: str) -> None:
    samples = [sample for family in Scraped.of(told).families.values() for sample in family.samples]
    assert [series for series in monitoring.case_series() if not is_there(series, samples)] == []


async def test_promtool_finds_no_fault_with_the_metrics(told: str) -> None:
    monitoring.promtool("check", "metrics", said=told)


def is_there(series: str, samples: list[Any]) -> bool:
    """Whether it is told with these labels, and these values of those that are of our choice."""
    [selector] = selectors(series)
    labels = [label for label, _, _ in selector.matchers if label not in OF_PROMETHEUS]
    chosen = tuple(matcher for matcher in selector.matchers if matcher[0] in CHOSEN)
    alike = [sample for sample in samples if Selector(selector.name, chosen).selects([sample])]
    return any(set(labels) <= set(sample.labels) for sample in alike)


def stem(name: str) -> str:
    """One name for all that a histogram tells."""
    for suffix in ("_bucket", "_count", "_sum"):
        name = name.removesuffix(suffix)
    return name
