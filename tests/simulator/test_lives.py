"""What becomes of calls: outcomes, timings, pacing."""

import itertools
import time

import pytest

from simulator import Outcome, Plan, Simulator
from simulator.calls import NEXT, Status
from simulator.outcomes import by_last_digits
from tests.simulator.customer import EVENTS, TO, Caller, Customer, until

ENDS = {Status.COMPLETED, Status.BUSY, Status.NO_ANSWER, Status.FAILED, Status.CANCELED}


def test_the_state_machine_is_whole() -> None:
    assert set(NEXT) == set(Status)
    assert {status for status, after in NEXT.items() if not after} == ENDS
    assert all(NEXT[status] & ENDS for status in set(Status) - ENDS)


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        ("+15551230000", Outcome.ANSWERED),
        ("+15551230079", Outcome.ANSWERED),
        ("+15551230080", Outcome.MACHINE),
        ("+15551230085", Outcome.BUSY),
        ("+15551230094", Outcome.NO_ANSWER),
        ("+15551230097", Outcome.FAILED),
        ("+15551230098", Outcome.INVALID),
        ("+15551230099", Outcome.ANSWERED_AT_ONCE),
        ("client:dana", Outcome.ANSWERED),
    ],
)
def test_last_digits(number: str, outcome: Outcome) -> None:
    assert by_last_digits(number) is outcome


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [
        (Outcome.ANSWERED, ["initiated", "ringing", "in-progress", "completed"]),
        (Outcome.ANSWERED_AT_ONCE, ["initiated", "in-progress", "completed"]),
        (Outcome.MACHINE, ["initiated", "ringing", "in-progress", "completed"]),
        (Outcome.BUSY, ["initiated", "ringing", "busy"]),
        (Outcome.NO_ANSWER, ["initiated", "ringing", "no-answer"]),
        (Outcome.FAILED, ["initiated", "failed"]),
    ],
)
async def test_course_of_each_outcome(
    sim: Simulator, caller: Caller, customer: Customer, outcome: Outcome, statuses: list[str]
) -> None:
    sim.script(TO, outcome)
    await caller.create(StatusCallback=customer.url)
    assert await sim.wait_for(lambda: sim.idle)
    by_sequence = sorted(customer.received, key=lambda one: int(one.form["SequenceNumber"]))
    assert [one.form["CallStatus"] for one in by_sequence] == statuses
    assert [int(one.form["SequenceNumber"]) for one in by_sequence] == list(range(len(statuses)))


async def test_scripts_go_call_by_call_and_then_the_digits_decide(sim: Simulator, caller: Caller) -> None:
    sim.scripts.clear()
    sim.script("+15551230088", "answered", "failed")
    sids = [(await caller.create(To="+15551230088")).body["sid"] for _ in range(3)]
    assert await sim.wait_for(lambda: sim.idle)
    assert [sim.ledger.calls[sid].status for sid in sids] == ["completed", "failed", "busy"]


async def test_digits_may_be_ignored(sim: Simulator, caller: Caller) -> None:
    sim.scripts.clear()
    sim.change(digits_decide=False)
    sid = (await caller.create(To="+15551230088")).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    assert sim.ledger.calls[sid].status == "completed"


async def test_invalid_number_is_refused(sim: Simulator, caller: Caller) -> None:
    sim.script(TO, Outcome.INVALID)
    reply = await caller.create()
    assert (reply.status, reply.body["code"]) == (400, 21211)


async def test_no_answer_after_the_requests_timeout_or_the_settings(sim: Simulator, caller: Caller) -> None:
    sim.everybody(Outcome.NO_ANSWER)
    sim.change(no_answer_seconds=0.05)
    patient = (await caller.create(Timeout="600")).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    sim.change(no_answer_seconds=600)
    short = (await caller.create(Timeout="1")).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    ended = {sid: call.ended - call.created for sid, call in sim.ledger.calls.items() if call.ended}
    assert 0.05 <= ended[patient] < 0.9
    assert 1 <= ended[short] < 5


async def test_ringing_longer_than_timeout_is_no_answer(sim: Simulator, caller: Caller) -> None:
    sim.script(TO, Plan(Outcome.ANSWERED, ring_seconds=5))
    sid = (await caller.create(Timeout="1")).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    assert sim.ledger.calls[sid].status == "no-answer"


async def test_time_limit_ends_a_long_talk(sim: Simulator, caller: Caller) -> None:
    sim.script(TO, Plan(Outcome.ANSWERED, talk_seconds=600))
    sid = (await caller.create(TimeLimit="1")).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    call = sim.ledger.calls[sid]
    assert call.status == "completed"
    assert call.ended is not None
    assert call.answered is not None
    assert 1 <= call.ended - call.answered < 5


async def test_a_20_ms_call(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.script(TO, Plan(Outcome.ANSWERED, ring_seconds=0.005, talk_seconds=0.01))
    await caller.create(StatusCallback=customer.url)
    assert await sim.wait_for(lambda: sim.idle)
    (call,) = sim.ledger.calls.values()
    assert call.ended is not None
    assert 0.015 <= call.ended - call.created < 0.5
    assert sorted(customer.statuses()) == ["completed", "in-progress", "initiated", "ringing"]


async def test_jitter_stretches_and_shortens(sim: Simulator, caller: Caller) -> None:
    sim.change(talk_seconds=0.1, jitter=0.5, seed=1)
    for _ in range(8):
        await caller.create()
    assert await sim.wait_for(lambda: sim.idle)
    talks = [c.ended - c.answered for c in sim.ledger.calls.values() if c.ended and c.answered]
    assert min(talks) >= 0.05
    assert max(talks) - min(talks) > 0.01


async def test_calls_beyond_the_rate_wait_at_the_carrier(sim: Simulator, caller: Caller) -> None:
    sim.change(calls_per_second=10)
    replies = [await caller.create() for _ in range(4)]
    assert [reply.status for reply in replies] == [201] * 4
    waits = [int(reply.body["queue_time"]) for reply in replies]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert 100 < waits[-1] <= 300
    assert await sim.wait_for(lambda: sim.idle)
    calls = list(sim.ledger.calls.values())
    assert all(later.departs - earlier.departs > 0.099 for earlier, later in itertools.pairwise(calls))
    assert all(call.started is not None and call.started >= call.departs for call in calls)
    fetched = (await caller.get(f"/Calls/{replies[-1].body['sid']}.json")).body
    assert fetched["queue_time"] == str(waits[-1])


async def test_a_call_that_waits_too_long_in_the_queue_is_dropped_silently(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.change(calls_per_second=0.01, queue_limit_seconds=0.02)
    await caller.create()
    sid = (await caller.create(StatusCallback=customer.url)).body["sid"]
    await until(lambda: sim.ledger.calls[sid].status == "vanished")
    assert sim.ledger.calls[sid].started is None
    assert await sim.wait_for(lambda: sim.idle)
    assert customer.received == []


async def test_calls_over_the_accounts_concurrency_end_busy(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.everybody(Outcome.STUCK)
    sim.change(max_concurrent_calls=1)
    stuck = (await caller.create()).body["sid"]
    await until(lambda: sim.ledger.calls[stuck].status == "in-progress")
    assert (await caller.create(StatusCallback=customer.url, events=["completed"])).status == 201
    (end,) = await customer.got(1)
    assert (end.form["CallStatus"], end.form["CallDuration"]) == ("busy", "0")
    assert end.form["ErrorCode"] == "10004"
    await caller.post(f"/Calls/{stuck}.json", Status="completed")
    third = (await caller.create()).body["sid"]
    await until(lambda: sim.ledger.calls[third].status == "in-progress")


async def test_vanished_from_the_queue(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.script(TO, Outcome.VANISH)
    sid = (await caller.create(StatusCallback=customer.url)).body["sid"]
    assert await sim.wait_for(lambda: sim.ledger.live_now == 0)
    assert (await caller.get(f"/Calls/{sid}.json")).body["status"] == "failed"
    assert sim.ledger.calls[sid].status == "vanished"
    assert sim.ledger.deliveries == []


async def test_gone_without_a_trace(sim: Simulator, caller: Caller) -> None:
    sim.script(TO, Outcome.GONE)
    sid = (await caller.create()).body["sid"]
    assert await sim.wait_for(lambda: sim.ledger.live_now == 0)
    assert (await caller.get(f"/Calls/{sid}.json")).status == 404
    assert (await caller.get("/Calls.json")).body["calls"] == []


async def test_stuck_in_progress_outlives_its_time_limit(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.script(TO, Outcome.STUCK)
    sid = (await caller.create(StatusCallback=customer.url, TimeLimit="1")).body["sid"]
    await customer.got(len(EVENTS) - 1)
    assert not await sim.wait_for(lambda: sim.ledger.live_now == 0, timeout=1.3)
    assert (await caller.get(f"/Calls/{sid}.json")).body["status"] == "in-progress"
    assert sim.exchange.callee_hangs_up(sim.exchange.calls[sid])
    assert (await customer.got(4))[-1].form["CallStatus"] == "completed"


async def test_cancelled_in_the_queue_says_nothing(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(queue_seconds=60)
    sid = (await caller.create(StatusCallback=customer.url)).body["sid"]
    assert (await caller.post(f"/Calls/{sid}.json", Status="canceled")).body["status"] == "canceled"
    assert sim.idle
    assert sim.ledger.deliveries == []


async def test_cancelled_while_ringing_says_so(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.script(TO, Outcome.RINGS_FOREVER)
    sid = (await caller.create(StatusCallback=customer.url, events=["completed"], Timeout="1")).body["sid"]
    await until(lambda: sim.ledger.calls[sid].status == "ringing")
    await caller.post(f"/Calls/{sid}.json", Status="canceled")
    (end,) = await customer.got(1)
    assert (end.form["CallStatus"], end.form["SequenceNumber"]) == ("canceled", "2")


async def test_many_calls_a_minute(sim: Simulator, caller: Caller, customer: Customer) -> None:
    begun = time.monotonic()
    for number in range(300):
        await caller.create(StatusCallback=f"{customer.url}/s?attempt={number}")
    assert await sim.wait_for(lambda: sim.idle)
    assert len(customer.received) == 1200
    assert 300 / (time.monotonic() - begun) * 60 > 2000
