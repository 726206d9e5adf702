"""Pacing without Redis."""

from dialer.rules.pacing import LocalPace


def test_spacing_is_even_and_shared_by_the_live_daemons() -> None:
    pace = LocalPace()
    assert [pace.take(10.0, calls_per_second=5, daemons=2) for _ in range(3)] == [10.0, 10.4, 10.8]
    assert pace.take(20.0, calls_per_second=5, daemons=2) == 20.0
