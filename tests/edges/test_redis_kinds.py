"""Slots, pace and hints on a cluster, behind Sentinel and behind TLS; and what a fail-over does there."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dialer.edges import wakeup
from dialer.edges.pace import Pace
from dialer.edges.redis_client import RedisClient, open_redis
from dialer.edges.redis_view import RedisView
from dialer.edges.slots import Slots, Turn
from dialer.edges.wakeup import Hint, Listener
from dialer.errors import RedisAway
from dialer.rules.model import Business
from tests.support.redises import Cluster, cluster, watched
from tests.support.secured import secured, secured_cluster
from tests.support.waiting import eventually

LIMIT = 2
KINDS = ("cluster", "sentinel", "tls", "cluster over tls")
# Enough for every node of three to have some.
BUSINESSES = range(1, 13)


@asynccontextmanager
async def kind_of_redis(kind: str, home: Path, redis_url: str) -> AsyncIterator[str]:
    opened: dict[str, Callable[[], Any]] = {
        "cluster": lambda: cluster(home),
        "cluster over tls": lambda: secured_cluster(home),
        "sentinel": lambda: watched(home),
        "tls": lambda: secured(redis_url, home),
    }
    async with opened[kind]() as made:
        yield made.url


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> AsyncIterator[str]:
    async with kind_of_redis(request.param, tmp_path, redis_url) as made:
        yield made


async def prepare(slots: Slots, business: int) -> None:
    await slots.reconcile(Business(business, LIMIT, ()), await slots.now_ms(business), grace_ms=0)


async def test_everything_that_is_asked_of_redis(url: str, namespace: str) -> None:
    """One test for all of it: starting a cluster or a Sentinel costs more than what is shown on it."""
    async with AsyncExitStack() as stack:
        one, two = (Slots(url, namespace, uuid.uuid4()) for _ in range(2))
        hints = wakeup.client(url)
        for each in (one.close, two.close, hints.aclose):
            stack.push_async_callback(each)
        await _slots_are_handed_on(one, two, namespace, hints, url)
        await _permits_are_spaced(url, namespace)
        await hints.ping()
        assert await hints.eviction_policies() == {"noeviction"}
        await _a_person_sees_the_same(url)


async def _slots_are_handed_on(one: Slots, two: Slots, namespace: str, hints: RedisClient, url: str) -> None:
    heard: asyncio.Queue[Hint] = asyncio.Queue()
    listening = asyncio.Event()

    async def listen() -> None:
        async with aclosing(Listener(url, namespace, _set(listening)).hints()) as said:  # type: ignore[type-var]
            async for hint in said:
                heard.put_nowait(hint)

    ears = asyncio.create_task(listen())
    await asyncio.wait_for(listening.wait(), 5)
    for business in BUSINESSES:
        await prepare(one, business)
        first = await one.turn(Turn(business, LIMIT, want=[(1, [uuid.uuid4() for _ in range(LIMIT)])]))
        assert [g.slot for g in first.granted] == [1, 2]
        waiting = uuid.uuid4()
        assert (await two.turn(Turn(business, LIMIT, want=[(2, [waiting])]))).waiting == 1
        ended = first.granted[0]
        await one.turn(Turn(business, LIMIT, release=[(ended.slot, ended.attempt_id)]))
        # The script said so itself, at whichever node it ran.
        hint = await asyncio.wait_for(heard.get(), 5)
        assert (hint.kind, hint.business_id, hint.run_id) == ("handed", business, 2)
        assert waiting in (await one.members(business)).values()
    assert await one.known_businesses() == set(BUSINESSES)
    assert await wakeup.publish(hints, namespace, Hint("run", 1, 5))
    assert (await asyncio.wait_for(heard.get(), 5)).kind == "run"
    ears.cancel()
    await asyncio.gather(ears, return_exceptions=True)


async def _a_person_sees_the_same(url: str) -> None:
    view = RedisView(url)
    await view.ping()
    assert await view.policies() == {"noeviction"}
    assert abs(await view.clock() - time.time()) < 5
    await view.close()


def _set(event: asyncio.Event) -> Any:
    async def look_again() -> None:
        event.set()

    return look_again


async def _permits_are_spaced(url: str, namespace: str) -> None:
    pace = Pace(url, namespace, "AC1", 10.0)
    assert [(await pace.ask(1, 10.0)).count for _ in range(3)] == [1, 1, 1]
    assert (await pace.ask(1, 0.0)).count == 0
    await pace.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    async with secured(redis_url, tmp_path) as made:
        slots = Slots(made.url.partition("?")[0], namespace, uuid.uuid4())
        with pytest.raises(RedisAway):
            await prepare(slots, 1)
        await slots.close()


async def _businesses_by_node(slots: Slots, made: Cluster) -> list[list[int]]:
    await slots.clocks(BUSINESSES)
    homes = [f"127.0.0.1:{node.port}" for node in made.nodes]
    return [[b for b in BUSINESSES if slots.home(b) == home] for home in homes]


async def test_a_node_that_stands_still_costs_only_those_whose_keys_it_keeps(
    tmp_path: Path, namespace: str
) -> None:
    async with cluster(tmp_path) as made:
        slots = Slots(made.url, namespace, uuid.uuid4())
        frozen, *others = await _businesses_by_node(slots, made)
        for business in BUSINESSES:
            await prepare(slots, business)
        made.nodes[0].send(signal.SIGSTOP)
        loop = asyncio.get_running_loop()

        async def turn(business: int) -> float:
            began = loop.time()
            await slots.turn(Turn(business, LIMIT, want=[(1, [uuid.uuid4()])]))
            return loop.time() - began

        # Hints are said at another node then, of whichever business they are.
        speakers = [wakeup.client(made.url) for _ in range(6)]
        for speaker in speakers:
            assert await wakeup.publish(speaker, namespace, Hint("run", 1, 1))
            await speaker.aclose()
        stuck = [asyncio.create_task(turn(business)) for business in frozen]
        passed = [await turn(business) for business in others[0] + others[1]]
        assert sorted(passed)[len(passed) // 2] < 0.1, passed
        for task in stuck:
            with pytest.raises(RedisAway):
                await task
        clocks = await slots.clocks(BUSINESSES)
        assert {slots.home(b) for b in frozen}.isdisjoint(clocks)
        assert {slots.home(b) for b in others[0]} <= set(clocks)
        made.nodes[0].send(signal.SIGCONT)
        await eventually(lambda: _answers(slots, frozen[0]), timeout=10)
        await slots.close()


async def _answers(slots: Slots, business: int) -> bool:
    try:
        return (await slots.turn(Turn(business, LIMIT))).generation
    except RedisAway:
        return False


async def test_a_replica_that_takes_over_is_found_and_a_script_that_it_lacks_is_given_to_it(
    tmp_path: Path, namespace: str
) -> None:
    async with cluster(tmp_path, replica=True) as made:
        slots = Slots(made.url, namespace, uuid.uuid4())
        moved, *_ = await _businesses_by_node(slots, made)
        for business in BUSINESSES:
            await prepare(slots, business)
        assert made.replica is not None
        await eventually(lambda: _has_keys(made))
        await made.replica.asked("SCRIPT FLUSH")
        made.nodes[0].kill()
        await eventually(lambda: _answers(slots, moved[0]), timeout=20)
        assert slots.home(moved[0]).endswith(f":{made.replica.port}")
        assert [await _answers(slots, business) for business in BUSINESSES] == [True] * len(BUSINESSES)
        await slots.close()


async def _has_keys(made: Cluster) -> bool:
    """The replica is as far as its primary."""
    assert made.replica is not None
    return bool(await made.replica.asked("DBSIZE") == await made.nodes[0].asked("DBSIZE") > 0)


async def test_keys_that_are_moved_for_good_are_found_at_their_new_node(tmp_path: Path, namespace: str) -> None:
    async with cluster(tmp_path) as made:
        slots = Slots(made.url, namespace, uuid.uuid4())
        await prepare(slots, 1)
        [old] = [n for n in made.nodes if slots.home(1).endswith(f":{n.port}")]
        new = next(n for n in made.nodes if n is not old)
        old_id, new_id = [await node.asked("CLUSTER MYID") for node in (old, new)]
        number = await new.asked("CLUSTER KEYSLOT", f"dialer:{{{namespace}:1}}:held")
        await new.asked("CLUSTER SETSLOT", number, "IMPORTING", old_id)
        await old.asked("CLUSTER SETSLOT", number, "MIGRATING", new_id)
        keys = await old.asked("CLUSTER GETKEYSINSLOT", number, 100)
        await old.asked("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *keys)
        with pytest.raises(RedisAway):
            await slots.turn(Turn(1, LIMIT))
        for node in (new, old):
            await node.asked("CLUSTER SETSLOT", number, "NODE", new_id)
        assert await _answers(slots, 1)
        assert slots.home(1).endswith(f":{new.port}")
        await slots.close()


async def test_a_promoted_replica_is_followed(tmp_path: Path, namespace: str) -> None:
    async with watched(tmp_path) as made:
        slots = Slots(made.url, namespace, uuid.uuid4())
        await prepare(slots, 1)
        assert await _answers(slots, 1)
        await made.fail_over()
        await eventually(lambda: _answers(slots, 1), timeout=10)
        # The old master comes back as an empty one, until it is told better: nobody must go on with it.
        made.master.start()
        assert await made.master.asked("DBSIZE") == 0
        newcomer = Slots(made.url, namespace, uuid.uuid4())
        for each in (slots, newcomer):
            assert await _answers(each, 1)
            await each.close()


async def test_without_any_node_it_is_away_and_says_so_soon(namespace: str) -> None:
    client = open_redis("redis+cluster://127.0.0.1:1,127.0.0.1:2", 0.2)
    slots = Slots("redis+cluster://127.0.0.1:1,127.0.0.1:2", namespace, uuid.uuid4())
    for _ in range(2):
        with pytest.raises(RedisAway):
            await slots.turn(Turn(1, LIMIT))
    assert await slots.clocks([1]) == {}
    with pytest.raises(RedisAway):
        await slots.known_businesses()
    await slots.close()
    await client.aclose()
