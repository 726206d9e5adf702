"""The gate before the carrier: closes on trouble that is not the job's, opens by one probe at a time."""

from dialer.rules.gate import AMBIGUOUS_IN_A_ROW, Gate
from dialer.rules.outcome import AccountRefused, NotProcessed, Placed, Refused, Unknown

REFUSED = AccountRefused(20003, "no")


def test_open_admits_all() -> None:
    assert Gate().admit(5, now=0.0) == 5


def test_a_refused_account_is_probed_at_growing_distance_from_5_to_60_seconds() -> None:
    gate, now, distances = Gate(), 100.0, []
    for _ in range(6):
        assert gate.admit(3, now) >= 1
        gate.heard(REFUSED, now, jitter=1.0)
        assert gate.is_closed(now)
        distances.append(gate.closed_until - now)
        now = gate.closed_until
    assert distances == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_one_probe_at_a_time_and_its_success_opens() -> None:
    gate = Gate()
    gate.heard(REFUSED, 0.0, 0.0)
    assert str(gate.reason) == "carrier 20003: no"
    assert gate.admit(3, 1.0) == 0
    assert gate.admit(3, 5.0) == 1
    assert gate.admit(3, 5.1) == 0
    gate.heard(Placed("CA1"), 5.2, 0.0)
    assert str(gate.reason) == "None"
    assert gate.admit(3, 5.2) == 3


def test_a_probe_that_was_not_sent_does_not_block_the_next() -> None:
    gate = Gate()
    gate.heard(REFUSED, 0.0, 0.0)
    assert gate.admit(1, 6.0) == 1
    gate.not_sent()
    assert gate.admit(1, 6.1) == 1


def test_answers_to_creates_sent_before_it_closed_do_not_close_it_further() -> None:
    gate = Gate()
    gate.heard(REFUSED, 0.0, 0.0)
    until = gate.closed_until
    gate.heard(REFUSED, 0.1, 0.0)
    gate.heard(NotProcessed("busy"), 0.2, 0.0)
    assert gate.closed_until == until


def test_the_carriers_retry_after_is_honoured() -> None:
    gate = Gate()
    gate.heard(NotProcessed("busy", 20429, 7.0), 0.0, 0.0)
    assert gate.closed_until == 7.0


def test_several_ambiguous_answers_in_a_row_close_it_and_one_does_not() -> None:
    gate = Gate()
    for _ in range(AMBIGUOUS_IN_A_ROW - 1):
        gate.heard(Unknown("HTTP 500"), 0.0, 0.0)
        assert not gate.is_closed(0.0)
    gate.heard(Unknown("HTTP 500"), 0.0, 0.0)
    assert gate.is_closed(0.0)


def test_a_refused_number_proves_that_the_carrier_works() -> None:
    gate = Gate()
    gate.heard(NotProcessed("busy"), 0.0, 0.0)
    gate.heard(Refused("invalid_number", 21211, "no", False), 1.0, 0.0)
    assert gate.admit(2, 1.0) == 2
