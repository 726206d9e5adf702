"""A verdict that cannot condemn is worth nothing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.ledger import Ledger, Placed
from tests.soak import verdict
from tests.soak.world import Business

FROM = "+15005550020"
MINE = Business(1, FROM)


def world_of(calls: list[tuple[float, float | None]], limits: list[tuple[float, int]]) -> Any:
    """Calls from … to …, each to a number and of an attempt of its own; and the limits seen."""
    ledger = Ledger()
    for n, (begun, ended) in enumerate(calls):
        placed = Placed(f"CA{n}", f"+1212555{n:04d}", FROM, f"attempt-{n}", begun, begun, ended=ended)
        ledger.calls[placed.sid] = placed
    return SimpleNamespace(sim=SimpleNamespace(ledger=ledger), limits={1: limits})


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ([(0, 2)], True),
        ([(0, 1)], False),
        ([(0, 2), (95, 1)], True),  # its intent may have come before
        ([(0, 2), (80, 3), (85, 1)], False),
        ([(0, 1), (99, 2)], True),
        ([(0, 1), (110, 2)], False),
    ],
)
def test_a_call_too_many_is_seen(limits: list[tuple[float, int]], allowed: bool) -> None:
    found = verdict.over_limit(world_of([(90, 130), (100, 120)], limits), MINE)
    assert (found == []) == allowed, found


def test_calls_that_do_not_overlap_are_none_too_many() -> None:
    assert verdict.over_limit(world_of([(10, 20), (20, 30), (31, None)], [(0, 1)]), MINE) == []
    assert len(verdict.over_limit(world_of([(10, 20), (19, 30), (31, None)], [(0, 1)]), MINE)) == 1


def test_a_second_create_or_call_of_an_attempt_is_seen() -> None:
    w = world_of([(1, 2), (3, 4)], [])
    assert verdict.two_calls(w) == []
    w.sim.ledger.calls["CA1"].attempt = "attempt-0"
    assert len(verdict.two_calls(w)) == 1
    for at in (1.0, 3.0):
        w.sim.ledger.arrive(at, "+12125550000", FROM, "attempt-0")
    assert len(verdict.two_calls(w)) == 2
    w.sim.ledger.calls["CA1"].attempt = None
    assert "1 calls without attempt" in verdict.two_calls(w)


class Rows:
    """A database that answers every statement with the same rows, or in turn."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self._answers: Iterator[list[dict[str, Any]]] = iter(answers)

    async def fetch(self, *_: Any) -> list[dict[str, Any]]:
        return next(self._answers)


@pytest.mark.parametrize(
    ("attempt", "condemned"),
    [
        ({"id": "attempt-0", "disposition": "answered", "call_sid": "CA0"}, False),
        ({"id": "attempt-0", "disposition": "unknown", "call_sid": None}, False),
        ({"id": "attempt-0", "disposition": "not_dialed", "call_sid": None}, True),
        ({"id": "attempt-9", "disposition": "not_dialed", "call_sid": None}, False),
        ({"id": "attempt-9", "disposition": "answered", "call_sid": "CA9"}, True),
    ],
)
async def test_a_row_that_the_ledger_contradicts_is_seen(attempt: dict[str, Any], condemned: bool) -> None:
    w = world_of([(1, 2)], [])
    w.system = SimpleNamespace(db=Rows([], [], [attempt]))
    assert bool(await verdict.lost_jobs(w)) == condemned


async def test_a_number_called_too_often_or_twice_at_once_is_seen() -> None:
    w = world_of([(1, 5), (3, 4)], [])
    for placed in w.sim.ledger.calls.values():
        placed.to = "+12125550000"
    w.system = SimpleNamespace(db=Rows([{"to_number": "+12125550000", "n": 1}]))
    assert len(await verdict.more_calls_than_attempts(w)) == 2
