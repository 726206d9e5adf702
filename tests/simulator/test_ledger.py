"""The evidence that other tests rely on."""

import time

import pytest

from simulator import Outcome, Simulator
from simulator.ledger import Placed, most_at_once
from tests.simulator.customer import FROM, TO, Caller, Customer, until


def placed(created: float, ended: float | None, from_number: str = FROM) -> Placed:
    return Placed("CA", TO, from_number, None, created, created, ended=ended)


@pytest.mark.parametrize(
    ("intervals", "most"),
    [
        ([], 0),
        ([(0, 1), (1, 2)], 1),
        ([(0, 2), (1, 3), (2.5, 4)], 2),
        ([(0, None), (5, None), (1, 2)], 2),
        ([(0, 9), (1, 8), (2, 7), (3, 4), (5, 6)], 4),
    ],
)
def test_most_at_once(intervals: list[tuple[float, float | None]], most: int) -> None:
    assert most_at_once(placed(*interval) for interval in intervals) == most


async def test_calls_per_attempt_and_number(sim: Simulator, caller: Caller) -> None:
    for attempt in ("a1", "a2", "a2"):
        await caller.create(StatusCallback=f"http://127.0.0.1:9/s?attempt={attempt}#rc=0")
    await caller.create(To="+15551230002")
    assert sim.ledger.calls_per_attempt() == {"a1": 1, "a2": 2}
    assert sim.ledger.most_calls_of_an_attempt() == 2
    assert sim.ledger.without_attempt() == 1
    assert sim.ledger.calls_per_number() == {TO: 3, "+15551230002": 1}


async def test_live_intervals_by_group(sim: Simulator, caller: Caller) -> None:
    sim.everybody(Outcome.STUCK)
    for number in (FROM, FROM, "+15557770001", "+15557770002"):
        await caller.create(From=number)
    await until(lambda: all(call.status == "in-progress" for call in sim.ledger.calls.values()))
    for call in list(sim.exchange.calls.values()):
        sim.exchange.callee_hangs_up(call)
    sim.everybody(Outcome.ANSWERED)
    await caller.create()
    assert await sim.wait_for(lambda: sim.idle)
    assert sim.ledger.most_live() == 4
    assert sim.ledger.most_live_by_group() == {FROM: 2, "+15557770001": 1, "+15557770002": 1}
    shared = {"+15557770001": "acme", "+15557770002": "acme"}
    assert sim.ledger.most_live_by_group(shared) == {FROM: 2, "acme": 2}


async def test_arrivals_of_every_create_request(sim: Simulator, caller: Caller) -> None:
    begun = time.monotonic()
    sim.misbehave("create", "error", status=429)
    await caller.create()
    await caller.create(To="nobody")
    await caller.create()
    ended = time.monotonic()
    times = sim.ledger.create_times()
    assert times == sorted(times)
    assert begun <= times[0] <= times[-1] <= ended
    assert [(one.verdict, one.status, one.code) for one in sim.ledger.arrivals] == [
        ("refused", 429, 20429),
        ("refused", 400, 21211),
        ("accepted", 201, None),
    ]
    assert sim.ledger.arrivals[-1].sid in sim.ledger.calls


async def test_terminal_deliveries_are_timed(sim: Simulator, caller: Caller, customer: Customer) -> None:
    await caller.create(StatusCallback=f"{customer.url}/s?attempt=a1")
    assert await sim.wait_for(lambda: sim.idle)
    (end,) = sim.ledger.terminal_deliveries()
    (call,) = sim.ledger.calls.values()
    assert end.attempt == "a1"
    assert end.sent is not None
    assert end.answered is not None
    assert call.ended is not None
    at = next(one.at for one in customer.received if one.form["CallStatus"] == "completed")
    assert call.ended <= end.sent <= at <= end.answered


async def test_times_of_a_call_are_in_order(sim: Simulator, caller: Caller) -> None:
    begun = time.monotonic()
    await caller.create()
    assert await sim.wait_for(lambda: sim.idle)
    (call,) = sim.ledger.calls.values()
    moments = [begun, call.created, call.started, call.answered, call.ended, time.monotonic()]
    assert None not in moments
    assert moments == sorted(moment for moment in moments if moment is not None)


async def test_clearing_keeps_what_is_live(sim: Simulator, caller: Caller) -> None:
    sim.script(TO, Outcome.ANSWERED, Outcome.STUCK)
    await caller.create()
    assert await sim.wait_for(lambda: sim.idle)
    stuck = (await caller.create()).body["sid"]
    sim.ledger.clear()
    assert list(sim.ledger.calls) == [stuck]
    assert sim.ledger.arrivals == []
    await caller.post(f"/Calls/{stuck}.json", Status="completed")
    await until(lambda: sim.ledger.calls[stuck].ended is not None)
    assert sim.ledger.live_now == 0
