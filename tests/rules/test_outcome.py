"""Each answer of the carrier falls into its class; only certain ones let a job be dialed again."""

import pytest

from dialer.rules.outcome import AccountRefused, NotProcessed, Refused, Unknown, of_answer


@pytest.mark.parametrize("code", [21211, 21217, 21214, 21216, 21202, 21203, 21201])
def test_a_bad_number_ends_the_job(code: int) -> None:
    assert of_answer(400, code) == Refused("invalid_number", code, "the carrier refuses the number", False)


@pytest.mark.parametrize("code", [21219, 21210, 21212, 21213, 21205, 21215, 21221, 21229, 20422, 99999, None])
def test_a_bad_request_is_our_configuration(code: int | None) -> None:
    outcome = of_answer(400, code)
    assert isinstance(outcome, Refused)
    assert (outcome.disposition, outcome.configuration) == ("failed", True)


@pytest.mark.parametrize(
    ("status", "code"), [(401, 20003), (403, 20005), (400, 10001), (403, 20008), (401, None), (403, None)]
)
def test_a_refused_account_is_not_the_jobs_fault(status: int, code: int | None) -> None:
    assert isinstance(of_answer(status, code), AccountRefused)


def test_too_many_requests_is_certainly_not_processed_and_keeps_the_carriers_wish() -> None:
    assert of_answer(429, 20429, 2.0) == NotProcessed("too many requests", 20429, 2.0)
    assert of_answer(429, None) == NotProcessed("too many requests", 20429, None)


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, 20500), (502, None), (503, 20503), (504, None), (307, None), (301, None), (400, 21204)],
)
def test_whatever_is_in_doubt_is_unknown(status: int, code: int | None) -> None:
    assert isinstance(of_answer(status, code), Unknown)
