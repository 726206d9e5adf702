"""What a process counts of its own doing."""

from __future__ import annotations

import json

from dialer.rules.tally import BEAT_BOUNDS, HANDOFF_BOUNDS, Histogram, Tally


def test_a_value_is_counted_under_the_first_bound_that_it_does_not_exceed() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 50.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == 56.6


def test_bounds_ascend() -> None:
    for bounds in (HANDOFF_BOUNDS, BEAT_BOUNDS):
        assert list(bounds) == sorted(set(bounds))


def test_a_hand_over_is_counted_once_and_only_in_the_slot_that_was_freed() -> None:
    handovers = Tally().handovers
    handovers.freed(1, 3, 10.0)
    for business, slot in ((2, 3), (1, 2), (1, 3), (1, 3)):
        handovers.requested(business, slot, 10.04)
    assert sum(handovers.seconds.counts) == 1
    assert round(handovers.seconds.total, 6) == 0.04


def test_a_slot_that_is_freed_again_counts_from_then() -> None:
    handovers = Tally().handovers
    handovers.freed(1, 3, 10.0)
    handovers.freed(1, 3, 20.0)
    handovers.requested(1, 3, 20.5)
    assert handovers.seconds.total == 0.5


def test_what_is_forgotten_is_no_hand_over() -> None:
    handovers = Tally().handovers
    for business in (1, 2, 3):
        handovers.freed(business, 1, 10.0)
    handovers.forget(1)
    handovers.requested(1, 1, 11.0)
    assert sum(handovers.seconds.counts) == 0
    handovers.requested(2, 1, 11.0)
    handovers.forget()
    handovers.requested(3, 1, 11.0)
    assert sum(handovers.seconds.counts) == 1


def test_a_clock_that_is_ahead_elsewhere_makes_no_negative_time() -> None:
    handovers = Tally().handovers
    handovers.freed(1, 1, 10.0)
    handovers.requested(1, 1, 9.0)
    assert handovers.seconds.total == 0.0
    assert sum(handovers.seconds.counts) == 1


def test_the_snapshot_is_json_and_a_copy() -> None:
    tally = Tally()
    tally.creates["placed"] += 2
    tally.beats.observe(1.01)
    taken = tally.snapshot()
    tally.creates["placed"] += 1
    tally.beats.observe(1.0)
    assert json.loads(json.dumps(taken)) == taken
    assert taken["counters"]["creates"] == {"placed": 2}
    assert sum(taken["histograms"]["beat_interval_seconds"]["counts"]) == 1
    assert set(taken["counters"]) == {
        *("intents", "creates", "calls", "claims", "hangups", "drift", "recordings"),
    }
