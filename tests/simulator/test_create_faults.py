"""What can go wrong with a create request, on the wire."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from simulator import Fault, Simulator
from tests.simulator.customer import FROM, TO, TWIML, Caller, Customer

LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


def placed(sim: Simulator) -> int:
    return len(sim.ledger.calls)


@pytest.mark.parametrize(("accept", "calls"), [(True, 1), (False, 0)])
async def test_connection_dropped_without_an_answer(
    sim: Simulator, caller: Caller, accept: bool, calls: int
) -> None:
    sim.misbehave("create", "drop", accept=accept)
    with pytest.raises(LOST):
        await caller.create()
    assert placed(sim) == calls
    (arrival,) = sim.ledger.arrivals
    assert (arrival.verdict, arrival.status) == ("accepted" if accept else "refused", None)
    assert (await caller.create()).status == 201


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(("accept", "calls"), [(True, 1), (False, 0)])
async def test_server_errors_accepted_or_not(
    sim: Simulator, caller: Caller, status: int, accept: bool, calls: int
) -> None:
    sim.misbehave("create", "error", status=status, accept=accept)
    reply = await caller.create()
    assert (reply.status, reply.body["status"]) == (status, status)
    assert placed(sim) == calls


@pytest.mark.parametrize("retry_after", [None, 2])
async def test_too_many_requests(sim: Simulator, caller: Caller, retry_after: int | None) -> None:
    sim.misbehave("create", "error", status=429, retry_after=retry_after)
    reply = await caller.create()
    assert (reply.status, reply.body["code"]) == (429, 20429)
    assert reply.headers.get("Retry-After") == (None if retry_after is None else "2")
    assert placed(sim) == 0


@pytest.mark.parametrize(("status", "code"), [(401, 20003), (400, 21210), (400, 21211), (403, 20005)])
async def test_any_error_of_the_carrier(sim: Simulator, sdk: Client, status: int, code: int) -> None:
    sim.misbehave("create", "error", status=status, code=code)
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(lambda: sdk.calls.create(to=TO, from_=FROM, twiml=TWIML))
    assert (caught.value.status, caught.value.code) == (status, code)


async def test_truncated_201(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "truncate")
    async with caller.session.post(
        f"{caller.account}/Calls.json",
        data={"To": TO, "From": FROM, "Twiml": TWIML},
        headers=caller.headers,
    ) as answer:
        body = await answer.text()
        assert answer.status == 201
        assert int(answer.headers["Content-Length"]) == len(body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert placed(sim) == 1


async def test_201_cut_off(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "cut")
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.create()
    assert placed(sim) == 1


async def test_html_502(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "html")
    reply = await caller.create()
    assert (reply.status, reply.headers["Content-Type"]) == (502, "text/html")
    assert b"<html>" in reply.body
    assert placed(sim) == 0


async def test_redirect(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "redirect")
    reply = await caller.create()
    assert (reply.status, reply.headers["Location"]) == (307, f"{caller.account}/Calls.json")
    assert placed(sim) == 0


@pytest.mark.parametrize(
    ("accept", "at_once", "in_the_end", "status"),
    [(True, 1, 1, 201), (False, 0, 0, 503), ("late", 0, 1, 201)],
)
async def test_slow_answer(
    sim: Simulator, caller: Caller, accept: Any, at_once: int, in_the_end: int, status: int
) -> None:
    sim.misbehave("create", "slow", seconds=0.4, accept=accept)
    begun = time.monotonic()
    answer = asyncio.create_task(caller.create())
    assert await sim.wait_for(lambda: len(sim.ledger.arrivals) == 1)
    assert placed(sim) == at_once
    assert (await answer).status == status
    assert time.monotonic() - begun >= 0.4
    assert placed(sim) == in_the_end


async def test_slow_without_a_time_takes_the_setting(sim: Simulator, caller: Caller) -> None:
    assert sim.settings.slow_answer_seconds == 30
    sim.change(slow_answer_seconds=0.1)
    sim.misbehave("create", "slow")
    begun = time.monotonic()
    await caller.create()
    assert time.monotonic() - begun >= 0.1


async def test_a_caller_that_gave_up_is_still_called_late(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "slow", seconds=0.2, accept="late")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await caller.create()
    assert placed(sim) == 0
    assert await sim.wait_for(lambda: placed(sim) == 1)


async def test_any_fault_may_take_its_time(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "error", status=503, accept=True, seconds=0.1)
    begun = time.monotonic()
    assert (await caller.create()).status == 503
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize("event", ["initiated", "completed"])
async def test_callback_before_the_create_answer(
    sim: Simulator, caller: Caller, customer: Customer, event: str
) -> None:
    sim.misbehave("create", "callback_first", event=event)
    reply = await caller.create(StatusCallback=customer.url)
    assert reply.body["status"] == "queued"
    told = {one.event: one for one in sim.ledger.deliveries if one.sid == reply.body["sid"]}
    assert told[event].outcome == "delivered"
    assert event in customer.statuses()


async def test_next_n_and_then_no_more(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "error", times=2)
    assert [(await caller.create()).status for _ in range(3)] == [500, 500, 201]


async def test_only_for_a_number_a_sender_or_an_attempt(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "error", to="+15551230002", status=500)
    sim.misbehave("create", "error", from_number="+15557770009", status=502)
    sim.misbehave("create", "error", attempt="a1", status=503)
    assert (await caller.create()).status == 201
    assert (await caller.create(To="+15551230002")).status == 500
    assert (await caller.create(From="+15557770009")).status == 502
    assert (await caller.create(StatusCallback="http://127.0.0.1:9/?attempt=a1")).status == 503


async def test_by_probability_and_seed(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("create", "error", probability=0.5, times=None)
    runs = []
    for _ in range(2):
        sim.change(seed=11)
        runs.append([(await caller.create()).status for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(Counter(runs[0])) == {201, 500}


@pytest.mark.parametrize(("do", "status"), [("stuck", "in-progress"), ("vanish", "vanished")])
async def test_the_course_of_the_next_call(sim: Simulator, caller: Caller, do: str, status: str) -> None:
    sim.misbehave("call", "outcome", outcome=do)
    first = (await caller.create()).body["sid"]
    second = (await caller.create()).body["sid"]
    calls = sim.ledger.calls
    assert await sim.wait_for(lambda: (calls[first].status, calls[second].status) == (status, "completed"))


@pytest.mark.parametrize("on", ["fetch", "update"])
@pytest.mark.parametrize("status", [404, 500])
async def test_one_call_out_of_reach(sim: Simulator, caller: Caller, on: str, status: int) -> None:
    sim.change(queue_seconds=60)
    sid = (await caller.create()).body["sid"]
    sim.misbehave(on, "error", status=status, to=TO)
    path = f"/Calls/{sid}.json"
    reply = await (caller.get(path) if on == "fetch" else caller.post(path, Status="canceled"))
    assert (reply.status, reply.body["code"]) == (status, {404: 20404, 500: 20500}[status])
    assert sim.ledger.calls[sid].status == "queued"
    assert (await caller.get(path)).status == 200


async def test_an_update_whose_answer_is_lost(sim: Simulator, caller: Caller) -> None:
    sim.change(queue_seconds=60)
    sid = (await caller.create()).body["sid"]
    sim.misbehave("update", "drop")
    with pytest.raises(LOST):
        await caller.post(f"/Calls/{sid}.json", Status="canceled")
    assert sim.ledger.calls[sid].status == "canceled"


async def test_list_fails(sim: Simulator, caller: Caller) -> None:
    sim.misbehave("list", "error", to=TO, times=None)
    assert (await caller.get("/Calls.json", To=TO)).status == 500
    assert (await caller.get("/Calls.json")).status == 200
    sim.faults.clear()
    assert (await caller.get("/Calls.json", To=TO)).status == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "fetch", "do": "lose"},
        {"on": "callback", "do": "drop"},
        {"on": "call", "do": "outcome"},
        {"on": "create", "do": "error", "outcome": "busy"},
        {"on": "create", "do": "error", "status": 201},
        {"on": "create", "do": "error", "colour": "red"},
    ],
)
def test_impossible_faults(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault(**fault)
