"""Whom a comparison leaves alone, and whom it does not: real Postgres, real Redis, desks that only count."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio

from dialer.edges.clock import boot_seconds
from dialer.edges.glance import Glance, Shown
from dialer.edges.slots import Slots
from dialer.edges.store import Store
from dialer.errors import RedisAway
from dialer.loops.reconciler import Reconciler
from dialer.rules.holding import Holding
from dialer.rules.model import Business, Terms
from tests.support.runs import Run, Worker, add_business, add_run


@dataclass
class Desk:
    """Counts; and compares as a desk does."""

    slots: Slots
    runs: dict[int, Holding]
    degraded: bool = False
    active_elsewhere: int = 0
    compared: int = 0
    seen: int = 0
    woken: int = 0

    async def compare(self, business: Business, read_ms: int, read_at: float) -> None:
        await self.slots.reconcile(business, read_ms, grace_ms=0)
        self.compared += 1

    def see(self, business: Business, read_at: float) -> None:
        self.seen += 1

    def wake(self) -> None:
        self.woken += 1


@dataclass
class House:
    """One daemon with desks; each business has a run with two of its two slots taken."""

    pool: Any
    store: Store
    slots: Slots
    glance: Glance
    worker: Worker
    desks: dict[int, Desk] = field(default_factory=dict)
    at_once: int = 100

    async def add(self) -> Desk:
        run = await add_run(self.pool, await add_business(self.pool, limit=2), 5)
        while run.run_id not in self.worker.epochs:
            await self.worker.claim()
        holding = Holding.of(_terms(run), boot_seconds())
        for row in await self.worker.intend(run.run_id, [1, 2]):
            holding.began(row["attempt_id"], row["slot"], row["job_id"], boot_seconds())
        self.desks[run.business_id] = Desk(self.slots, {run.run_id: holding})
        return self.desks[run.business_id]

    async def compare(self) -> list[int]:
        """Once; how often each desk was compared by the script."""
        before = [desk.compared for desk in self.desks.values()]
        compares = Reconciler(
            self.store, self.slots, self.glance, lambda: self.desks, boot_seconds, at_once=self.at_once
        )
        await compares.compare()
        return [desk.compared - n for desk, n in zip(self.desks.values(), before, strict=True)]


def _terms(run: Run) -> Terms:
    return Terms(
        run.run_id, run.business_id, 1, 100, 2, 3, False, "+15005550006", "<x/>", None, False, False, 30, 600
    )


@pytest.fixture
async def house(pool: Any, database: str, redis_url: str) -> AsyncIterator[House]:
    store = await Store.connect(database)
    namespace = uuid.uuid4().hex
    slots, glance = Slots(redis_url, namespace, uuid.uuid4()), Glance(redis_url, namespace)
    yield House(pool, store, slots, glance, await Worker.join(pool))
    await slots.close()
    await glance.close()
    await store.close()


async def test_what_is_settled_is_left_alone(house: House) -> None:
    for _ in range(3):
        await house.add()
    assert await house.compare() == [1, 1, 1], "Redis knew nothing"
    assert await house.compare() == [0, 0, 0]


async def test_whatever_differs_is_compared_alone(house: House, redis_url: str) -> None:
    kept, lost, ended, limited, wanting, shared, dropped = [await house.add() for _ in range(7)]
    await house.compare()
    businesses = dict(zip(map(id, house.desks.values()), house.desks, strict=True))
    # Redis lost one; a call has ended; the limit changed; a run wants more; others have calls too; memory knows less.
    stem = f"dialer:{{{house.slots._namespace}:{businesses[id(lost)]}}}"
    async with redis.asyncio.Redis.from_url(redis_url) as plain:
        await plain.delete(f"{stem}:held")
    await house.pool.execute(
        "SELECT refuse_attempt($1, 'busy', NULL, 'test')", next(iter(next(iter(ended.runs.values())).live))
    )
    await house.pool.execute(
        "UPDATE businesses SET max_concurrent_calls = 3 WHERE id = $1", businesses[id(limited)]
    )
    next(iter(wanting.runs.values())).limit = 5
    shared.active_elsewhere = 1
    holding = next(iter(dropped.runs.values()))
    holding.ended(next(iter(holding.live)))
    holding.queued = 0
    assert await house.compare() == [0, 1, 1, 1, 1, 1, 1]
    assert kept.compared == 1


async def test_many_businesses_are_compared_in_parts(house: House) -> None:
    for _ in range(5):
        await house.add()
    house.at_once = 2
    assert await house.compare() == [1] * 5
    assert await house.compare() == [0] * 5


async def test_without_redis_memory_is_compared_all_the_same(house: House) -> None:
    desk = await house.add()
    away = Glance("redis://127.0.0.1:1", "test")
    with pytest.raises(RedisAway):
        await Reconciler(house.store, house.slots, away, lambda: house.desks, boot_seconds).compare()
    await away.close()
    assert (desk.seen, desk.compared) == (1, 0)


class Half:
    """Every other business is on a server that does not answer."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.asked: list[int] = []

    def home(self, business_id: int) -> str:
        return "well" if business_id % 2 else "away"

    async def of(self, business_ids: list[int]) -> Shown:
        self.asked += business_ids
        return Shown({"well": await self._slots.now_ms(1)}, {})


async def test_a_server_that_is_away_costs_only_those_that_it_keeps(house: House) -> None:
    for _ in range(6):
        await house.add()
    half: Any = Half(house.slots)
    compares = Reconciler(house.store, half, half, lambda: house.desks, boot_seconds, at_once=2)
    with pytest.raises(RedisAway):
        await compares.compare()
    found = {business_id: (desk.compared, desk.seen) for business_id, desk in house.desks.items()}
    assert found == {b: (1, 0) if b % 2 else (0, 1) for b in house.desks}
    first, *more = [b for b in house.desks if b % 2 == 0]
    assert first in half.asked
    assert not {*more} & {*half.asked}, "it did not answer a moment ago"
