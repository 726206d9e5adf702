"""One run's calls: a real database and carrier, a line for permits that the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from dialer.edges.carrier import Carrier
from dialer.edges.clock import boot_seconds
from dialer.edges.store import Store
from dialer.loops.caller import Caller
from dialer.loops.wire import Wire
from dialer.rules.gate import Gate
from dialer.rules.holding import Holding
from dialer.rules.model import Grant, Intent
from dialer.rules.outcome import NotProcessed, Outcome
from dialer.rules.tally import Tally
from simulator import INSTANT, Simulator
from tests.support.runs import Worker, add_business, add_run
from tests.support.waiting import eventually


@dataclass
class Around:
    """Desk, log and daemon in one: a lease that is trusted, and nothing that matters here."""

    worker: UUID
    tally: Tally = field(default_factory=Tally)
    is_faulty: bool = False

    def is_trusted(self, holding: Holding) -> bool:
        return True

    def lost(self, holding: Holding, why: str) -> None: ...
    def committed(self, attempt_id: UUID) -> None:
        if self.is_faulty:
            raise RuntimeError("a fault of ours")

    def not_used(self, holding: Holding, attempt_id: UUID, *, taken: bool = False) -> None: ...
    def doubt(self) -> None: ...
    def wake(self) -> None: ...
    def dialed(self, job_id: int) -> None: ...
    async def look_ahead(self) -> None: ...
    async def account_changed(self, reason: str | None) -> None: ...


class Permits:
    """The first has expired before it is used; the next never comes."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    async def __call__(self, wanted: int, committed: bool) -> list[float]:
        self.asked.append(committed)
        if len(self.asked) > 1:
            await asyncio.Event().wait()
        return [boot_seconds() - 100.0]


@dataclass
class Bench:
    sim: Simulator
    store: Store
    carrier: Carrier


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    async with Simulator(INSTANT).serve() as sim:
        carrier = Carrier(sim.settings.account_sid, sim.settings.auth_token, sim.url, "http://127.0.0.1:1", 5.0)
        store = await Store.connect(database)
        yield Bench(sim, store, carrier)
        await store.close()
        await carrier.close()


def caller_of(
    bench: Bench,
    holding: Holding,
    worker: UUID,
    permits: Any,
    settle: Any,
    wire: Wire | None = None,
    *,
    is_faulty: bool = False,
) -> Caller:
    around = Around(worker, is_faulty=is_faulty)
    return Caller(
        holding,
        around,
        around,
        around,
        store=bench.store,
        carrier=bench.carrier,
        settle=settle,
        permits=permits,
        is_expired=lambda moment: boot_seconds() > moment + 1.0,
        gate=Gate(),
        wire=wire or Wire(),
        clock=boot_seconds,
    )


async def claimed(pool: Any, bench: Bench, jobs: int) -> tuple[Holding, UUID]:
    await add_run(pool, await add_business(pool), jobs)
    await pool.execute("UPDATE outbound_call_run_settings SET ring_timeout_seconds = 1")
    worker = await Worker.join(pool)
    [terms] = await bench.store.claim_runs(worker.id, 6.0, 300.0, 0, None)
    return Holding.of(terms, boot_seconds()), worker.id


async def test_an_intent_that_gets_no_permit_in_time_is_never_sent(pool: Any, bench: Bench) -> None:
    """Later its look-ups may have given it up, and its slot to another call."""
    holding, worker = await claimed(pool, bench, 1)
    settled: list[Outcome] = []

    async def settle(intent: Intent, outcome: Outcome) -> None:
        settled.append(outcome)

    permits = Permits()
    caller = caller_of(bench, holding, worker, permits, settle)
    serving = asyncio.create_task(caller.serve())
    caller.grant([Grant(holding.terms.run_id, uuid4(), 1)])
    await eventually(lambda: settled, timeout=10)
    caller.stop()
    await serving
    assert isinstance(settled[0], NotProcessed)
    assert permits.asked == [False, True], "a committed intent asks for its permit before the line"
    assert bench.sim.ledger.calls == {}


async def test_who_leaves_a_run_waits_for_what_began_meanwhile_too(pool: Any, bench: Bench) -> None:
    """Else its outcome, that may have been "no call", is lost, and its job ends as unknown."""
    holding, worker = await claimed(pool, bench, 2)
    may_settle = {1: asyncio.Event(), 2: asyncio.Event()}
    settled: list[int] = []
    begun: list[int] = []

    async def settle(intent: Intent, outcome: Outcome) -> None:
        begun.append(intent.slot)
        await may_settle[intent.slot].wait()
        settled.append(intent.slot)

    async def permits(wanted: int, committed: bool) -> list[float]:
        return [boot_seconds()] * wanted

    caller = caller_of(bench, holding, worker, permits, settle)
    serving = asyncio.create_task(caller.serve())
    caller.grant([Grant(holding.terms.run_id, uuid4(), 1)])
    await eventually(lambda: begun == [1])
    draining = asyncio.create_task(caller.drain(None))
    await asyncio.sleep(0)
    caller.grant([Grant(holding.terms.run_id, uuid4(), 2)])
    await eventually(lambda: begun == [1, 2])
    may_settle[1].set()
    await eventually(lambda: settled == [1])
    may_settle[2].set()
    async with asyncio.timeout(5):
        await draining
    caller.stop()
    await serving
    assert settled == [1, 2]
    assert {r["state"] for r in await pool.fetch("SELECT state FROM outbound_call_attempts")} == {"intent"}


async def test_no_intent_is_written_for_which_there_is_no_room_on_the_wire(pool: Any, bench: Bench) -> None:
    """And a run that stops while it waits takes no room with it."""
    holding, worker = await claimed(pool, bench, 4)
    answered: list[int] = []

    async def settle(intent: Intent, outcome: Outcome) -> None:
        answered.append(intent.slot)
        await asyncio.Event().wait()  # the request is as good as unanswered

    async def permits(wanted: int, committed: bool) -> list[float]:
        return [boot_seconds()] * wanted

    wire = Wire(most=2)
    caller = caller_of(bench, holding, worker, permits, settle, wire)
    serving = asyncio.create_task(caller.serve())
    caller.grant([Grant(holding.terms.run_id, uuid4(), slot) for slot in (1, 2, 3)])
    await eventually(lambda: sorted(answered) == [1, 2])
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_attempts") == 2
    caller.stop()
    await serving
    assert wire.room_now(1) == 0
    await caller.drain(0.01)
    assert (wire.room_now(5), wire.room_now(5)) == (2, 0), (
        "what was not used and what was answered comes back, once"
    )
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_attempts") == 2


async def test_room_on_the_wire_comes_back_once_after_a_fault_too(pool: Any, bench: Bench) -> None:
    """A request that has begun brings back its own; a fault while it is booked brings back the rest."""
    holding, worker = await claimed(pool, bench, 4)
    answered: list[int] = []

    async def settle(intent: Intent, outcome: Outcome) -> None:
        answered.append(intent.slot)

    async def permits(wanted: int, committed: bool) -> list[float]:
        return [boot_seconds()] * wanted

    wire = Wire(most=3)
    caller = caller_of(bench, holding, worker, permits, settle, wire, is_faulty=True)
    serving = asyncio.create_task(caller.serve())
    caller.grant([Grant(holding.terms.run_id, uuid4(), slot) for slot in (1, 2)])
    await eventually(lambda: answered == [1])
    caller.stop()
    await serving
    await caller.drain(None)
    assert (wire.room_now(5), wire.room_now(5)) == (3, 0)
