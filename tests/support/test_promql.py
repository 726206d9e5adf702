"""The tests of rules and dashboard rest on this."""

from __future__ import annotations

from prometheus_client.samples import Sample

from tests.support.promql import Selector, selectors


def test_metrics_are_told_from_functions_labels_and_keywords() -> None:
    expression = """
        histogram_quantile(0.95, sum by (le) (max by (daemon, le) (rate(a_bucket[10m])))) > 1
        and sum(increase(b_total{result=~"x|y",route!="/z(/.*)?"}[5m])) > 12 * 3600
        unless (time() - c_seconds) * on (instance) group_left (version) d_info == 0
    """
    assert list(selectors(expression)) == [
        Selector("a_bucket"),
        Selector("b_total", (("result", "=~", "x|y"), ("route", "!=", "/z(/.*)?"))),
        Selector("c_seconds"),
        Selector("d_info"),
    ]


def test_a_selector_selects_as_prometheus_does() -> None:
    samples = [Sample("a", {"kind": "added", "status": "204"}, 1), Sample("b", {}, 1)]
    for expression, found in (
        ('a{kind="added"}', True),
        ('a{kind="add"}', False),
        ('a{kind=~"add"}', False),
        ('a{kind=~"removed|added",status!~"5.."}', True),
        ('a{status!~"2.."}', False),
        ('a{kind!=""}', True),
        ('b{kind=""}', True),
        ("c", False),
    ):
        [selector] = selectors(expression)
        assert selector.selects(samples) == found, expression
