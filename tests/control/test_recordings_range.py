"""Which bytes a request wants: every kind of Range, If-Range and If-None-Match."""

import pytest
from multidict import CIMultiDict

from control.resources.recordings_range import Beyond, Part, Unchanged, Wanted, Whole, wanted

ETAG = '"abc"'


def ask(method: str = "GET", **headers: str) -> Wanted:
    return wanted(method, CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()}), ETAG, 100)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", Part(0, 1)),
        ("bytes=0-99", Part(0, 100)),
        ("bytes=10-19", Part(10, 20)),
        ("bytes=10-", Part(10, 100)),
        ("bytes=99-", Part(99, 100)),
        ("bytes=10-1000", Part(10, 100)),
        ("bytes=-1", Part(99, 100)),
        ("bytes=-100", Part(0, 100)),
        ("bytes=-1000", Part(0, 100)),
        (" bytes = 5 - 6 ", Part(5, 7)),
        ("bytes=100-", Beyond()),
        ("bytes=100-200", Beyond()),
        ("bytes=-0", Beyond()),
        # Several, or none that can be understood: the whole file.
        ("bytes=0-0,5-6", Whole()),
        ("bytes=-", Whole()),
        ("bytes=", Whole()),
        ("bytes=6-5", Whole()),
        ("bytes=--5", Whole()),
        ("bytes=a-b", Whole()),
        ("bytes=٣-٤", Whole()),
        ("chunks=0-5", Whole()),
        ("bytes=" + "9" * 5000 + "-", Whole()),
        ("", Whole()),
    ],
)
def test_ranges(asked: str, expected: Wanted) -> None:
    assert ask(Range=asked) == expected
    assert ask("HEAD", Range=asked) == Whole()


@pytest.mark.parametrize("known", [ETAG, f'"other", {ETAG}', f"W/{ETAG}", "*", f'W/"x",W/{ETAG} '])
def test_who_has_it_already_needs_nothing(known: str) -> None:
    assert ask(If_None_Match=known) == Unchanged()
    assert ask("HEAD", If_None_Match=known) == Unchanged()
    assert ask(If_None_Match=known, Range="bytes=0-1") == Unchanged()


@pytest.mark.parametrize("known", ['"other"', "abc", '"ab"', '"xabc"', ""])
def test_who_has_another_gets_this_one(known: str) -> None:
    assert ask(If_None_Match=known) == Whole()


def test_a_part_is_for_who_has_the_rest_of_the_same_file() -> None:
    assert ask(Range="bytes=5-", If_Range=ETAG) == Part(5, 100)
    # Weak tags and dates do not prove that it is the same, byte by byte.
    for other in ('"other"', f"W/{ETAG}", "Tue, 31 Aug 2010 20:36:28 GMT"):
        assert ask(Range="bytes=5-", If_Range=other) == Whole()
        assert ask(Range="bytes=500-", If_Range=other) == Whole()
