"""A glance at Redis shows what the scripts wrote, as far as it is settled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from dialer.edges.glance import Glance, Shown
from dialer.edges.slots import Slots, Turn
from dialer.rules.model import Business, LiveAttempt
from tests.edges.conftest import Join


@pytest.fixture
async def glance(redis_url: str, namespace: str) -> AsyncIterator[Glance]:
    made = Glance(redis_url, namespace)
    yield made
    await made.close()


async def prepare(slots: Slots, business_id: int, *live: LiveAttempt) -> None:
    await slots.reconcile(Business(business_id, 3, live), await slots.now_ms(business_id), grace_ms=0)


async def test_it_shows_what_is_confirmed_of_each_business(join: Join, glance: Glance) -> None:
    slots = join()
    one, two, other = (LiveAttempt(uuid4(), 1, slot) for slot in (1, 3, 2))
    await prepare(slots, 7, one, two)
    await prepare(slots, 8, other)
    await prepare(slots, 9)
    before = await slots.now_ms(7)
    shown = await glance.of([9, 7, 6, 8])
    assert before <= shown.clocks[slots.home(7)] <= await slots.now_ms(7)
    assert shown.members == {
        7: {1: str(one.attempt_id), 3: str(two.attempt_id)},
        8: {2: str(other.attempt_id)},
        9: {},
    }
    assert {slot: str(attempt) for slot, attempt in (await slots.members(7)).items()} == shown.members[7]


async def test_what_is_only_named_or_hidden_is_not_settled(join: Join, glance: Glance) -> None:
    slots, wanted = join(), uuid4()
    await prepare(slots, 7)
    await slots.turn(Turn(7, 3, want=[(1, [wanted])]))
    assert (await glance.of([7])).members == {}
    await slots.turn(Turn(7, 3, confirm=[wanted]))
    assert (await glance.of([7])).members == {7: {1: str(wanted)}}
    await slots.turn(Turn(7, 3, want=[(1, [hidden := uuid4()])]))
    await slots.turn(Turn(7, 3, taken=[(2, hidden)]))
    assert (await glance.of([7])).members != {7: {1: str(wanted)}}


async def test_of_one_that_is_away_it_shows_nothing(namespace: str) -> None:
    away = Glance("redis://127.0.0.1:1", namespace)
    assert await away.of([1]) == Shown({}, {})
    await away.close()
