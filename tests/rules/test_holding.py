"""How many slots a run asks for, and when its lease is trusted."""

from uuid import uuid4

from dialer.rules.holding import REFUSALS_THAT_PAUSE, Holding, is_as_shown, is_trusted
from dialer.rules.model import Business, LiveAttempt, Terms


def holding(*, queued: int = 10, concurrency: int = 5, limit: int = 3) -> Holding:
    terms = Terms(1, 2, 1, concurrency, limit, queued, False, "+1", "<x/>", None, False, False, 30, 600)
    return Holding.of(terms, claimed_at=100.0)


def test_wants_up_to_the_smaller_of_concurrency_limit_and_queue() -> None:
    assert holding().wanted(0) == 3
    assert holding(concurrency=1).wanted(0) == 1
    assert holding(queued=2).wanted(0) == 2
    assert holding(queued=0).wanted(0) == 0


def test_live_and_reserved_slots_count() -> None:
    run = holding()
    run.reserved[uuid4()] = 1
    run.began(uuid4(), 2, 7, now=0)
    assert run.wanted(0) == 1


def test_an_attempt_ends_once() -> None:
    run, attempt = holding(), uuid4()
    run.began(attempt, 2, 7, now=0)
    assert run.ended(attempt) == (2, 7)
    assert run.ended(attempt) is None


def test_near_the_pause_no_more_are_on_the_way_than_it_takes() -> None:
    run = holding(concurrency=100, limit=100, queued=100)
    for slot in range(1, 21):
        run.began(uuid4(), slot, slot, now=0)  # long calls, answered long ago: they say nothing of the refusals
    run.refusals_in_a_row = 1
    assert run.wanted(0) == REFUSALS_THAT_PAUSE - 1
    run.unanswered.add(uuid4())
    assert run.wanted(0) == REFUSALS_THAT_PAUSE - 2


def test_an_exhausted_cursor_starts_again_and_an_empty_list_rests() -> None:
    run = holding()
    run.cursor = 5
    run.found_nothing(now=1.0, rest_seconds=0.5)
    assert (run.cursor, run.wanted(1.0)) == (-1, 3)
    run.found_nothing(now=1.0, rest_seconds=0.5)
    assert run.wanted(1.4) == 0
    assert run.wanted(1.5) == 3


def test_trust_ends_a_margin_before_the_lease_counted_from_when_the_beat_was_sent() -> None:
    run = holding()
    assert is_trusted(run, now=104.9, lease_seconds=6.0, margin_seconds=1.0)
    assert not is_trusted(run, now=105.0, lease_seconds=6.0, margin_seconds=1.0)
    run.held = False
    assert not is_trusted(run, now=100.0, lease_seconds=6.0, margin_seconds=1.0)


def test_settled_is_what_memory_redis_and_postgres_show_alike() -> None:
    run, one, two = holding(limit=2), uuid4(), uuid4()
    for slot, attempt in enumerate((one, two), start=1):
        run.began(attempt, slot, slot, now=0)
    live = (LiveAttempt(one, 1, 1), LiveAttempt(two, 1, 2))
    members = {1: str(one), 2: str(two)}
    business = Business(2, 2, live)
    assert is_as_shown([run], business, members, 0)
    assert not is_as_shown([], business, members, 0)
    assert not is_as_shown([run], Business(2, 3, live), members, 0)
    assert not is_as_shown([run], Business(2, 2, live[:1]), members, 0)
    assert not is_as_shown([run], business, {1: str(one)}, 0)
    assert not is_as_shown([run], business, {1: str(two), 2: str(one)}, 0)
    assert not is_as_shown([run], business, {1: str(one), 2: str(uuid4())}, 0)
    run.reserved[uuid4()] = 3
    assert not is_as_shown([run], business, members, 0)
