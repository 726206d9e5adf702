"""Slots by Redis: the line, the hand-off, and what a loss does."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis.asyncio

from dialer.edges import wakeup
from dialer.edges.slots import TRIPS_AT_ONCE, Slots, Turn, TurnAnswer
from dialer.errors import RedisAway
from dialer.rules.model import Business, LiveAttempt
from tests.edges.conftest import Join
from tests.support.waiting import eventually

BUSINESS, LIMIT = 7, 3


def ids(n: int) -> list[UUID]:
    return [uuid4() for _ in range(n)]


async def prepare(slots: Slots, *live: tuple[int, UUID]) -> None:
    """The business's slots as Postgres has them."""
    attempts = tuple(LiveAttempt(attempt, 1, slot) for slot, attempt in live)
    await slots.reconcile(Business(BUSINESS, LIMIT, attempts), await slots.now_ms(BUSINESS), grace_ms=0)


async def ask(slots: Slots, run: int, wanted: list[UUID], **more: Any) -> TurnAnswer:
    return await slots.turn(Turn(BUSINESS, more.pop("limit", LIMIT), want=[(run, wanted)], **more))


def named(answer: TurnAnswer) -> list[tuple[int, int]]:
    return [(g.run_id, g.slot) for g in answer.granted]


async def test_nothing_is_granted_while_the_generation_is_missing(join: Join) -> None:
    slots = join()
    answer = await ask(slots, 1, ids(3))
    assert (answer.generation, answer.granted) == (False, ())
    await prepare(slots)
    assert named(await ask(slots, 1, ids(2))) == [(1, 1), (1, 2)]


async def test_a_full_business_queues_and_a_release_hands_over_in_the_same_act(join: Join) -> None:
    one = join()
    await prepare(one)
    first = await ask(one, 1, ids(3))
    assert named(await ask(one, 2, waiting := ids(1))) == []
    ended = first.granted[1]
    answer = await one.turn(Turn(BUSINESS, LIMIT, release=[(ended.slot, ended.attempt_id)]))
    assert (answer.freed, named(answer), answer.granted[0].attempt_id) == (1, [(2, 2)], waiting[0])


async def test_a_release_names_its_exact_member_so_twice_frees_nothing(join: Join) -> None:
    slots = join()
    await prepare(slots)
    [grant, *_] = (await ask(slots, 1, ids(3))).granted
    release = [(grant.slot, grant.attempt_id)]
    assert (await slots.turn(Turn(BUSINESS, LIMIT, release=release))).freed == 1
    [again] = (await ask(slots, 1, ids(1))).granted
    answer = await slots.turn(Turn(BUSINESS, LIMIT, release=release))
    assert (answer.freed, again.slot) == (0, grant.slot)


async def test_asking_again_with_the_same_ids_grants_the_same_slots(join: Join) -> None:
    """The client library may repeat a command whose answer was lost."""
    slots = join()
    await prepare(slots)
    wanted = ids(2)
    assert named(await ask(slots, 1, wanted)) == named(await ask(slots, 1, wanted)) == [(1, 1), (1, 2)]
    assert len(await slots.members(BUSINESS)) == 2


async def test_two_runs_of_two_daemons_alternate(join: Join, namespace: str, redis: redis.asyncio.Redis) -> None:
    """Each that got a slot and wants another stands last again."""
    one, two = join(), join()
    await prepare(one)
    live = list((await ask(one, 1, ids(3))).granted)
    tickets: dict[int, list[UUID]] = {1: ids(3), 2: ids(3)}
    await ask(two, 2, tickets[2])
    await ask(one, 1, tickets[1])
    turns = []
    for _ in range(6):
        ended = live.pop(0)
        answer = await one.turn(Turn(BUSINESS, LIMIT, release=[(ended.slot, ended.attempt_id)]))
        mine = answer.granted or (await ask(two, 2, tickets[2])).granted
        [grant] = mine
        tickets[grant.run_id].remove(grant.attempt_id)
        tickets[grant.run_id] += ids(1)
        await ask(one if grant.run_id == 1 else two, grant.run_id, tickets[grant.run_id])
        live.append(grant)
        turns.append(grant.run_id)
    assert turns == [2, 1, 2, 1, 2, 1]


async def test_a_slot_handed_to_another_daemon_is_announced_to_it(
    join: Join, namespace: str, redis_url: str
) -> None:
    one, two = join(), join()
    await prepare(one)
    [grant, *_] = (await ask(one, 1, ids(3))).granted
    wanted = ids(1)
    await ask(two, 2, wanted)
    client = redis.asyncio.Redis.from_url(redis_url, decode_responses=True)
    async with client.pubsub(ignore_subscribe_messages=True) as heard:
        await heard.subscribe(wakeup.channel(namespace))
        await eventually(lambda: client.pubsub_numsub(wakeup.channel(namespace)))
        answer = await one.turn(Turn(BUSINESS, LIMIT, release=[(grant.slot, grant.attempt_id)]))
        message = await eventually(lambda: heard.get_message(timeout=0.1))
    await client.aclose()
    assert answer.granted == ()
    assert '"handed"' in message["data"]
    assert named(await ask(two, 2, wanted)) == [(2, grant.slot)]


async def test_a_dead_waiter_at_the_head_of_the_line_is_passed_over(join: Join) -> None:
    one, dead, two = join(fresh_ms=50), join(), join()
    await prepare(one)
    [grant, *_] = (await ask(one, 1, ids(3))).granted
    await ask(dead, 2, ids(1))
    await redis_passes(one, 60)
    wanted = ids(1)
    await ask(two, 3, wanted)
    await one.turn(Turn(BUSINESS, LIMIT, release=[(grant.slot, grant.attempt_id)]))
    assert named(await ask(two, 3, wanted)) == [(3, grant.slot)]


async def redis_passes(slots: Slots, ms: int) -> None:
    """Wait for a fact: Redis's clock has moved on so far."""
    until = await slots.now_ms(BUSINESS) + ms

    async def passed() -> bool:
        return await slots.now_ms(BUSINESS) >= until

    await eventually(passed)


async def test_a_reservation_expires_unless_confirmed_or_renewed(join: Join) -> None:
    brief, slots = join(reserve_ms=80), join(reserve_ms=5_000)
    await prepare(slots)
    lost, kept, renewed = (await ask(brief, 1, ids(3))).granted
    await slots.turn(Turn(BUSINESS, LIMIT, confirm=[kept.attempt_id], renew=[renewed.attempt_id]))
    await redis_passes(slots, 90)
    await slots.turn(Turn(BUSINESS, LIMIT, leave=[99]))
    assert set(await slots.members(BUSINESS)) == {kept.slot, renewed.slot}
    # A confirmation that comes too late takes nothing from the next owner.
    [new] = (await ask(slots, 1, ids(1))).granted
    await slots.turn(Turn(BUSINESS, LIMIT, confirm=[lost.attempt_id]))
    assert (await slots.members(BUSINESS))[lost.slot] == new.attempt_id


async def test_a_slot_that_postgres_refused_is_hidden_until_reconciled(join: Join) -> None:
    slots = join()
    await prepare(slots)
    [grant] = (await ask(slots, 1, ids(1))).granted
    answer = await ask(slots, 1, ids(2), taken=[(grant.slot, grant.attempt_id)])
    assert [g.slot for g in answer.granted] == [2, 3]
    assert (await slots.members(BUSINESS))[grant.slot] is None
    await redis_passes(slots, 2)
    await prepare(slots)
    assert grant.slot not in await slots.members(BUSINESS)


async def test_no_slot_above_a_lowered_limit_is_named(join: Join) -> None:
    slots = join()
    await prepare(slots)
    await ask(slots, 1, ids(3))
    assert named(await ask(slots, 1, ids(2), limit=2)) == []


async def test_reconciling_mends_drift_and_leaves_what_is_recent_alone(join: Join) -> None:
    slots = join()
    await prepare(slots)
    gone, fresh, _ = (await ask(slots, 1, ids(3))).granted
    await slots.turn(Turn(BUSINESS, LIMIT, confirm=[gone.attempt_id]))
    await redis_passes(slots, 5)
    read_ms = await slots.now_ms(BUSINESS)
    await redis_passes(slots, 2)
    await slots.turn(Turn(BUSINESS, LIMIT, confirm=[fresh.attempt_id]))
    drift = await slots.reconcile(Business(BUSINESS, LIMIT, ()), read_ms, grace_ms=0)
    assert (drift.removed, drift.rebuilt) == (1, False)
    assert set((await slots.members(BUSINESS)).values()) >= {fresh.attempt_id}
    again = await slots.reconcile(Business(BUSINESS, LIMIT, ()), read_ms, grace_ms=0)
    assert (again.removed, again.added) == (0, 0)


async def test_a_flushed_redis_is_rebuilt_from_postgres(join: Join, redis: redis.asyncio.Redis) -> None:
    slots = join()
    live = uuid4()
    await prepare(slots)
    await redis.flushall()
    assert (await ask(slots, 1, ids(3))).generation is False
    await prepare(slots, (2, live))
    assert await slots.members(BUSINESS) == {2: live}
    assert [g.slot for g in (await ask(slots, 1, ids(3))).granted] == [1, 3]


async def test_reconciling_serves_the_line(join: Join) -> None:
    slots = join()
    await prepare(slots)
    full = (await ask(slots, 1, ids(3))).granted
    await slots.turn(Turn(BUSINESS, LIMIT, confirm=[g.attempt_id for g in full]))
    await ask(slots, 2, waiting := ids(1))
    await redis_passes(slots, 2)
    kept = tuple(LiveAttempt(g.attempt_id, 1, g.slot) for g in full[1:])
    drift = await slots.reconcile(Business(BUSINESS, LIMIT, kept), await slots.now_ms(BUSINESS), grace_ms=0)
    assert [(g.run_id, g.slot, g.attempt_id) for g in drift.granted] == [(2, full[0].slot, waiting[0])]


async def test_many_at_once_never_get_the_same_slot(join: Join) -> None:
    views = [join() for _ in range(5)]
    await prepare(views[0])
    answers = await asyncio.gather(*(ask(v, n, ids(3), limit=10) for n, v in enumerate(views)))
    slots = [g.slot for a in answers for g in a.granted]
    assert sorted(slots) == list(range(1, 11))


async def test_a_redis_that_is_away_is_said_within_its_time_out(namespace: str) -> None:
    slots = Slots("redis://127.0.0.1:1", namespace, uuid4())
    with pytest.raises(RedisAway):
        await ask(slots, 1, ids(1))
    await slots.close()


async def test_a_ticket_given_up_after_it_was_handed_a_slot_gives_the_slot_back(join: Join) -> None:
    one, two = join(), join()
    await prepare(one)
    [grant, *_] = (await ask(one, 1, ids(3))).granted
    given_up, waiting = ids(1), ids(1)
    await ask(two, 2, given_up)
    await one.turn(Turn(BUSINESS, LIMIT, release=[(grant.slot, grant.attempt_id)]))
    await ask(one, 3, waiting)
    await two.turn(Turn(BUSINESS, LIMIT, dropped=given_up, leave=[2]))
    assert named(await ask(one, 3, waiting)) == [(3, grant.slot)]


async def test_a_crowd_of_businesses_is_served_by_the_connections_there_are(
    redis_url: str, namespace: str
) -> None:
    """Found by a measurement: with more than a hundred trips at once the client failed those beyond."""
    slots = Slots(redis_url, namespace, uuid4())
    try:
        found = await asyncio.gather(
            *(slots.reconcile(Business(business, 1, ()), 0) for business in range(1, 301)),
        )
        assert len(found) == 300
        assert all(drift.rebuilt for drift in found)
    finally:
        await slots.close()


async def test_a_crowd_before_a_redis_that_hangs_does_not_wait_in_turns(namespace: str) -> None:
    """Those who wait behind one that failed fail with it: Postgres names their slots."""
    asked = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()  # until the client gives up
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    slots = Slots(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", namespace, uuid4())
    try:
        crowd = (slots.turn(Turn(business, 1, want=[(1, ids(1))])) for business in range(300))
        found = await asyncio.gather(*crowd, return_exceptions=True)
        assert {type(one) for one in found} == {RedisAway}
        assert asked <= 2 * TRIPS_AT_ONCE, "a trip and its retry for each that went, none for those behind them"
    finally:
        await slots.close()
        server.close()
