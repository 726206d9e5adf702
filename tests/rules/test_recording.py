"""What becomes of a recording after each try, where redirects may lead, which one of a list is ours."""

from __future__ import annotations

from uuid import UUID

import pytest

from dialer.rules import recording
from dialer.rules.recording import (
    ABSENT_AFTER_WAITS,
    LONGEST_DELAY_SECONDS,
    MOST_TRIES,
    Claimed,
    Listed,
    Trouble,
)

BASE = "https://api.example.com"
LOCAL = "http://127.0.0.1:8000"


def claimed(*, retry_count: int = 0, taken_over: bool = False, account: str = "AC1") -> Claimed:
    return Claimed(
        1, 2, 3, 4, UUID(int=0), account, "CA1", "RE1", "2/1/CA1.mp3", 1, retry_count, taken_over, age_seconds=1.0
    )


def test_delays_grow_up_to_a_bound_and_never_shrink_below_the_carriers_wish() -> None:
    trouble = Trouble("not_ready", "not yet")
    delays = [recording.after(trouble, claimed(retry_count=n), 2.0, 0.0).delay_seconds for n in range(9)]
    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]
    unbounded = Trouble("not_listed", "not yet", bounded=False)
    step = recording.after(unbounded, claimed(retry_count=50), 2.0, 0.0)
    assert (step.do, step.delay_seconds) == ("again", LONGEST_DELAY_SECONDS)
    wished = Trouble("carrier_trouble", "429", wait_seconds=90.0)
    assert recording.after(wished, claimed(), 2.0, 0.0).delay_seconds == 90.0
    assert 2.0 < recording.after(trouble, claimed(), 2.0, 1.0).delay_seconds <= 2.5


def test_tries_are_bounded_and_the_end_says_why() -> None:
    trouble = Trouble("cut", "the connection was cut")
    assert recording.after(trouble, claimed(retry_count=MOST_TRIES - 2), 2.0, 0.0).do == "again"
    last = recording.after(trouble, claimed(retry_count=MOST_TRIES - 1), 2.0, 0.0)
    assert (last.do, last.code) == ("end", "gave_up")
    assert "the connection was cut" in last.reason


def test_what_lasts_ends_at_once() -> None:
    step = recording.after(Trouble("gone", "deleted", lasting=True), claimed(), 2.0, 0.0)
    assert (step.do, step.code, step.reason) == ("end", "gone", "deleted")


@pytest.mark.parametrize(
    ("status", "code", "lasting"),
    [
        (404, "not_ready", False),
        (401, "refused", True),
        (403, "refused", True),
        (410, "gone", True),
        (400, "refused", True),
        (429, "carrier_trouble", False),
        (408, "carrier_trouble", False),
        (500, "carrier_trouble", False),
        (503, "carrier_trouble", False),
        (206, "refused", True),
    ],
)
def test_statuses(status: int, code: str, lasting: bool) -> None:
    trouble = recording.of_status(status, None, trusted=True)
    assert trouble is not None
    assert (trouble.code, trouble.lasting) == (code, lasting)
    assert recording.of_status(200, None, trusted=True) is None


def test_a_refusal_elsewhere_than_at_the_carrier_may_be_an_address_that_expired() -> None:
    trouble = recording.of_status(403, None, trusted=False)
    assert trouble is not None
    assert not trouble.lasting


@pytest.mark.parametrize(
    ("content_type", "wanted", "fits"),
    [
        ("audio/mpeg", "mp3", True),
        ("Audio/MPEG; charset=x", "mp3", True),
        ("audio/x-wav", "wav", True),
        ("audio/wav", "wav", True),
        ("audio/x-wav", "mp3", False),
        ("text/html", "mp3", False),
        ("", "wav", False),
    ],
)
def test_types(content_type: str, wanted: str, fits: bool) -> None:
    assert (recording.of_type(content_type, wanted) is None) == fits


@pytest.mark.parametrize(
    ("received", "promised", "code"),
    [(0, None, "empty"), (0, 0, "empty"), (5, 10, "truncated"), (5, 4, "truncated")],
)
def test_lengths_that_do_not_fit(received: int, promised: int | None, code: str) -> None:
    trouble = recording.of_length(received, promised)
    assert trouble is not None
    assert (trouble.code, trouble.lasting) == (code, False)


def test_lengths_that_fit() -> None:
    assert recording.of_length(5, 5) is None
    assert recording.of_length(5, None) is None


@pytest.mark.parametrize(
    ("location", "leads_to", "trusted"),
    [
        ("/elsewhere", f"{BASE}/elsewhere", True),
        ("https://api.example.com:443/x", "https://api.example.com:443/x", True),
        ("https://api.example.com:8443/x", "https://api.example.com:8443/x", False),
        ("https://media.example.com/x", "https://media.example.com/x", False),
        ("//media.example.com/x", "https://media.example.com/x", False),
    ],
)
def test_redirects(location: str, leads_to: str, trusted: bool) -> None:
    hop = recording.hop(f"{BASE}/first", location, BASE, trusted=True)
    assert hop is not None
    assert (hop.url, hop.trusted) == (leads_to, trusted)


@pytest.mark.parametrize(
    "location",
    [
        "http://api.example.com/x",
        "file:///etc/passwd",
        "https://me:secret@x.example.com/",
        "https://x:99999/",
        "ftp://x/",
    ],
)
def test_redirects_that_are_not_followed(location: str) -> None:
    assert recording.hop(f"{BASE}/first", location, BASE, trusted=True) is None


def test_who_has_left_the_carrier_does_not_get_its_credentials_again() -> None:
    hop = recording.hop("https://media.example.com/x", f"{BASE}/back", BASE, trusted=False)
    assert hop is not None
    assert not hop.trusted


def test_a_carrier_on_this_machine_may_speak_http() -> None:
    hop = recording.hop(f"{LOCAL}/first", "http://127.0.0.1:9000/x", LOCAL, trusted=True)
    assert hop is not None
    assert not hop.trusted


def test_of_a_list_the_one_that_was_asked_for_is_taken() -> None:
    ours, other = Listed("RE1", "processing", "OutboundAPI"), Listed("RE2", "completed", "RecordVerb")
    assert recording.of_list([other, ours], 1.0, 30.0) == ours
    assert recording.of_list([other], 1.0, 30.0) == other


def test_nothing_listed_is_believed_only_after_long() -> None:
    early = recording.of_list([], ABSENT_AFTER_WAITS * 30.0 - 1, 30.0)
    assert isinstance(early, Trouble)
    assert (early.code, early.lasting, early.bounded, early.wait_seconds) == ("not_listed", False, False, 30.0)
    late = recording.of_list([], ABSENT_AFTER_WAITS * 30.0, 30.0)
    assert isinstance(late, Trouble)
    assert (late.code, late.lasting) == ("absent", True)


@pytest.mark.parametrize(("status", "code"), [("absent", "absent"), ("failed", "carrier_failed")])
def test_what_is_listed_as_not_made_ends_at_once(status: str, code: str) -> None:
    trouble = recording.of_list([Listed("RE1", status, "OutboundAPI")], 1.0, 30.0)
    assert isinstance(trouble, Trouble)
    assert (trouble.code, trouble.lasting) == (code, True)


def test_what_cannot_be_fetched_is_not_tried() -> None:
    assert recording.unfetchable(claimed(), "AC1") is None
    assert recording.unfetchable(claimed(account="AC2"), "AC1") is not None
    assert recording.unfetchable(claimed(taken_over=True, retry_count=MOST_TRIES), "AC1") is not None


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("12/ab/CAab12.mp3", True),
        ("12/ab/CAab12.wav", True),
        ("12/ab/CAab12.mp3.1.part", False),
        ("../ab/CAab12.mp3", False),
        ("12/../CAab12.mp3", False),
        ("/12/ab/CAab12.mp3", False),
        ("12/ab/CA/../x.mp3", False),
        ("12/ab/CAab12.mp3\n", False),
        ("", False),
    ],
)
def test_names(name: str, good: bool) -> None:
    assert recording.is_file_name(name) == good
