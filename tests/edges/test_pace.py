"""Permits for creates: evenly spaced over all daemons."""

from __future__ import annotations

from itertools import pairwise

from dialer.edges.pace import Pace


async def test_permits_of_two_daemons_are_an_interval_apart(redis_url: str, namespace: str) -> None:
    daemons = [Pace(redis_url, namespace, "AC1", 20.0) for _ in range(2)]
    wide_horizon = 10.0
    waits = [(await daemons[n % 2].ask(1, wide_horizon)).wait_seconds for n in range(8)]
    for pace in daemons:
        await pace.close()
    gaps = [b - a for a, b in pairwise(waits)]
    # Each wait is counted from its own request, so a gap lacks the time between two requests, never exceeds.
    assert all(0.03 < gap <= 0.05 for gap in gaps), gaps


async def test_no_permit_lies_beyond_the_horizon(redis_url: str, namespace: str) -> None:
    pace = Pace(redis_url, namespace, "AC1", 10.0)
    first = await pace.ask(100, 0.25)
    assert first.count == 3
    denied = await pace.ask(1, 0.0)
    assert denied.count == 0
    assert 0 < denied.wait_seconds <= 0.3
    other_account = Pace(redis_url, namespace, "AC2", 10.0)
    assert (await other_account.ask(1, 0.0)).count == 1
    for each in (pace, other_account):
        await each.close()
