"""Which slots agree, which drifted, and which are too fresh to be judged."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from dialer.rules.drift import LEFT_BEHIND, MISSING, OTHER, RESERVED, SAME, SETTLING, Member, compare
from dialer.rules.model import Business, LiveAttempt

READ, GRACE = 100_000, 2_000
OLD, FRESH, AHEAD, PAST = READ - 5_000, READ - 1_000, READ + 1_000, READ - 1
ONE, TWO = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("member", "live", "state"),
    [
        (Member(1, ONE, OLD), ONE, SAME),
        (Member(1, ONE, FRESH, AHEAD), ONE, SAME),
        (Member(1, None, OLD), ONE, SAME),
        (Member(1, ONE, FRESH, AHEAD), None, RESERVED),
        (Member(1, ONE, FRESH), None, SETTLING),
        (Member(1, ONE, FRESH), TWO, SETTLING),
        (Member(1, ONE, OLD), None, LEFT_BEHIND),
        (Member(1, None, OLD), None, LEFT_BEHIND),
        (Member(1, ONE, OLD), TWO, OTHER),
        (Member(1, ONE, OLD, PAST), TWO, MISSING),
        (None, ONE, MISSING),
    ],
)
def test_one_slot(member: Member | None, live: UUID | None, state: str) -> None:
    attempts = () if live is None else (LiveAttempt(live, 1, 1),)
    (seen,) = compare(Business(7, 3, attempts), [member] if member else [], READ, GRACE)
    assert (seen.state, seen.postgres) == (state, live)


def test_a_reservation_that_has_expired_is_no_slot() -> None:
    assert compare(Business(7, 3, ()), [Member(1, ONE, OLD, PAST)], READ, GRACE) == []
