"""What a look in the carrier's list proves, and what it does not."""

import pytest

from dialer.rules.lookup import Verdict, of_list


def verdict(
    *candidates: str, rivals: int = 0, seen: bool = False, covered: bool = False, overdue: bool = False
) -> str:
    return of_list(candidates, rivals=rivals, seen_before=seen, covered=covered, overdue=overdue).do


def test_one_candidate_without_rival_is_bound() -> None:
    assert of_list(("CA1",), rivals=0, seen_before=True, covered=True, overdue=True) == Verdict("bind", "CA1")


@pytest.mark.parametrize("covered", [True, False])
def test_a_rival_or_a_second_candidate_forbids_a_guess(covered: bool) -> None:
    assert verdict("CA1", rivals=1, covered=covered) == "doubt"
    assert verdict("CA1", "CA2", covered=covered) == "doubt"


def test_absence_ends_it_only_when_covered_and_nothing_was_ever_seen() -> None:
    assert verdict() == "wait"
    assert verdict(covered=True) == "end"
    assert verdict(covered=True, seen=True) == "wait"


def test_whatever_was_seen_it_ends_when_a_call_would_have_ended() -> None:
    assert verdict(overdue=True, seen=True) == "end"
    assert verdict("CA1", "CA2", overdue=True) == "end"
