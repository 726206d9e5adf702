"""Callbacks: their fields, signatures, retries and end."""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from simulator import Outcome, Simulator
from simulator.overrides import Overrides, read_overrides
from tests.simulator.customer import EVENTS, FROM, TO, Caller, Customer, Received, until

GEOGRAPHY = [
    who + what
    for who, what in itertools.product(("To", "From", "Called", "Caller"), ("City", "State", "Zip", "Country"))
]
ATTEMPT = "7d9d9a52-9d0c-4a79-b7a1-6c1c2f6f0d11"


def answering(*statuses: int) -> Callable[[Received], Coroutine[Any, Any, web.StreamResponse]]:
    """Answers with these statuses, one after the other, and 204 from then on."""
    left = iter(statuses)

    async def answer(_: Received) -> web.StreamResponse:
        return web.Response(status=next(left, 204))

    return answer


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_all_fields_and_the_signature(sim: Simulator, caller: Caller, customer: Customer) -> None:
    url = f"{customer.url}/webhook/call_status?attempt={ATTEMPT}&x=a%20b"
    sid = (await caller.create(StatusCallback=f"{url}#rc=5&rp=all")).body["sid"]
    received = await customer.got(4)
    for one in received:
        assert one.method == "POST"
        assert one.url == url
        assert one.signed_with(sim.settings.auth_token)
        assert not one.signed_with("another token")
        assert [one.form[name] for name in GEOGRAPHY] == [""] * 16
        assert (one.form["CallSid"], one.form["AccountSid"]) == (sid, sim.settings.account_sid)
        assert (one.form["To"], one.form["From"], one.form["Direction"]) == (TO, FROM, "outbound-api")
        assert (one.form["ApiVersion"], one.form["CallbackSource"]) == ("2010-04-01", "call-progress-events")
        assert one.form["Timestamp"].endswith("+0000")
    assert len({one.headers["I-Twilio-Idempotency-Token"] for one in received}) == 4


async def test_terminal_fields(sim: Simulator, caller: Caller, customer: Customer) -> None:
    await caller.create(StatusCallback=customer.url, events=["completed"])
    (end,) = await customer.got(1)
    assert (end.form["CallStatus"], end.form["CallDuration"], end.form["Duration"]) == ("completed", "1", "1")
    assert end.form["SipResponseCode"] == "200"
    assert "AnsweredBy" not in end.form
    assert end.form["SequenceNumber"] == "3"


async def test_only_subscribed_events_are_posted(sim: Simulator, caller: Caller, customer: Customer) -> None:
    await caller.create(StatusCallback=customer.url, events=["answered"])
    assert await sim.wait_for(lambda: sim.idle)
    assert [(one.form["CallStatus"], one.form["SequenceNumber"]) for one in customer.received] == [
        ("in-progress", "2")
    ]


async def test_completed_alone_is_the_default(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.script(TO, Outcome.BUSY)
    await caller.create(StatusCallback=customer.url, events=[])
    assert await sim.wait_for(lambda: sim.idle)
    assert customer.statuses() == ["busy"]


async def test_get_is_signed_too(sim: Simulator, caller: Caller, customer: Customer) -> None:
    await caller.create(
        StatusCallback=f"{customer.url}/s?attempt=1", StatusCallbackMethod="GET", events=["completed"]
    )
    (end,) = await customer.got(1)
    assert (end.method, end.form) == ("GET", {})
    assert "CallStatus=completed" in end.url
    assert end.signed_with(sim.settings.auth_token)


async def test_events_overtake_each_other(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(callback_jitter_seconds=0.05, seed=3)
    for _ in range(5):
        await caller.create(StatusCallback=customer.url)
    received = await customer.got(20)
    by_call = [[one.form["SequenceNumber"] for one in received if one.form["CallSid"] == sid] for sid in
               sim.ledger.calls]  # fmt: skip
    assert all(sorted(numbers) == list("0123") for numbers in by_call)
    assert any(numbers != list("0123") for numbers in by_call)


async def test_a_late_callback_does_not_hold_up_the_call(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.change(callback_delay_seconds=0.5)
    await caller.create(StatusCallback=customer.url)
    assert await sim.wait_for(lambda: sim.ledger.live_now == 0)
    assert customer.received == []
    await customer.got(4)


def test_overrides_of_a_fragment() -> None:
    assert read_overrides("rc=5&rp=all&ct=2000&rt=5000") == Overrides(
        5, frozenset({"4xx", "5xx", "ct", "rt"}), 2.0, 5.0, 15.0
    )
    assert read_overrides("rp=5xx,rt").retried == {"5xx", "rt"}
    assert read_overrides("rc=99&ct=1&rt=x&e=ashburn") == Overrides(retries=5, connect_seconds=0.1)


async def test_by_default_an_error_is_not_retried(sim: Simulator, caller: Caller, customer: Customer) -> None:
    customer.answer = answering(500, 500)
    await caller.create(StatusCallback=customer.url, events=["completed"])
    assert await sim.wait_for(lambda: sim.idle)
    (delivery,) = sim.ledger.deliveries
    assert (delivery.outcome, delivery.tries, delivery.http_status) == ("dropped", 1, 500)
    assert len(customer.received) == 1


@pytest.mark.parametrize(
    ("fragment", "tries", "outcome"),
    [
        ("rc=5&rp=all", 3, "delivered"),
        ("rc=2&rp=5xx", 3, "delivered"),
        ("rc=1&rp=all", 2, "dropped"),
        ("rc=5&rp=4xx", 1, "dropped"),
        ("rc=5", 1, "dropped"),
    ],
)
async def test_the_fragment_is_obeyed(
    sim: Simulator, caller: Caller, customer: Customer, fragment: str, tries: int, outcome: str
) -> None:
    sim.change(callback_retry_pause_seconds=0)
    customer.answer = answering(503, 500)
    await caller.create(StatusCallback=f"{customer.url}/s#{fragment}", events=["completed"])
    assert await sim.wait_for(lambda: sim.idle)
    (delivery,) = sim.ledger.deliveries
    assert (delivery.tries, delivery.outcome) == (tries, outcome)
    assert len(customer.received) == tries
    assert len({one.headers["I-Twilio-Idempotency-Token"] for one in customer.received}) == 1


async def test_a_failed_connect_is_retried_once_by_default(sim: Simulator, caller: Caller) -> None:
    sim.change(callback_retry_pause_seconds=0)
    await caller.create(StatusCallback=f"http://127.0.0.1:{free_port()}/s", events=["completed"])
    assert await sim.wait_for(lambda: sim.idle)
    (delivery,) = sim.ledger.deliveries
    assert (delivery.tries, delivery.outcome, delivery.answered) == (2, "dropped", None)


async def test_read_time_out_of_the_fragment(sim: Simulator, caller: Caller, customer: Customer) -> None:
    never = asyncio.Event()

    async def silent(_: Received) -> web.StreamResponse:
        if len(customer.received) == 1:
            await never.wait()
        return web.Response(status=204)

    customer.answer = silent
    await caller.create(StatusCallback=f"{customer.url}/s#rc=1&rp=rt&rt=100", events=["completed"])
    await customer.got(2)
    assert await sim.wait_for(lambda: sim.idle)
    never.set()
    (delivery,) = sim.ledger.deliveries
    assert (delivery.tries, delivery.outcome) == (2, "delivered")


async def test_all_tries_together_end_at_the_cap(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(callback_limit_seconds=0.5, callback_retry_pause_seconds=0.2)
    customer.answer = answering(*[500] * 50)
    await caller.create(StatusCallback=f"{customer.url}/s#rc=5&rp=all", events=["completed"])
    assert await sim.wait_for(lambda: sim.idle)
    (delivery,) = sim.ledger.deliveries
    assert delivery.outcome == "dropped"
    assert 2 <= delivery.tries <= 3
    seen = len(customer.received)
    assert not await sim.wait_for(lambda: len(customer.received) > seen, timeout=0.4)


async def test_the_cap_ends_a_silent_answer(sim: Simulator, caller: Caller, customer: Customer) -> None:
    never = asyncio.Event()

    async def silent(_: Received) -> web.StreamResponse:
        await never.wait()
        return web.Response(status=204)

    customer.answer = silent
    sim.change(callback_limit_seconds=0.1)
    await caller.create(StatusCallback=f"{customer.url}/s#rc=5&rp=all", events=["completed"])
    assert await sim.wait_for(lambda: sim.idle, timeout=3)
    never.set()
    assert sim.ledger.deliveries[0].outcome == "dropped"


async def test_lost(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.misbehave("callback", "lose", event="completed")
    await caller.create(StatusCallback=customer.url)
    assert await sim.wait_for(lambda: sim.idle)
    assert sorted(customer.statuses()) == ["in-progress", "initiated", "ringing"]
    assert Counter(one.outcome for one in sim.ledger.deliveries) == {"delivered": 3, "lost": 1}


async def test_duplicated(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.misbehave("callback", "duplicate", event="completed", copies=2)
    await caller.create(StatusCallback=customer.url)
    assert await sim.wait_for(lambda: sim.idle)
    ends = [one for one in customer.received if one.form["CallStatus"] == "completed"]
    assert len(ends) == 3
    assert len({tuple(sorted(one.form.items())) for one in ends}) == 1


async def test_late(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.misbehave("callback", "late", event="ringing", seconds=0.6)
    await caller.create(StatusCallback=customer.url)
    await customer.got(3)
    assert sorted(customer.statuses()) == ["completed", "in-progress", "initiated"]
    assert (await customer.got(4))[-1].form["CallStatus"] == "ringing"


async def test_reordered(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.misbehave("callback", "reorder", times=None)
    await caller.create(StatusCallback=customer.url)
    await customer.got(4)
    order = customer.statuses()
    assert order.index("ringing") < order.index("initiated")
    assert order.index("completed") < order.index("in-progress")


async def test_faults_by_number_and_probability(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(seed=5)
    sim.misbehave("callback", "lose", to=TO, probability=0.5, times=None)
    for _ in range(20):
        await caller.create(StatusCallback=customer.url, events=["completed"])
        await caller.create(StatusCallback=customer.url, events=["completed"], To="+15551230002")
    assert await sim.wait_for(lambda: sim.idle)
    arrived = Counter(one.form["To"] for one in customer.received)
    assert arrived["+15551230002"] == 20
    assert 2 <= arrived[TO] <= 18


async def test_an_outage_loses_events_for_ever(sim: Simulator, caller: Caller, customer: Customer) -> None:
    port = free_port()
    await caller.create(StatusCallback=f"http://127.0.0.1:{port}/s")
    assert await sim.wait_for(lambda: sim.idle)
    assert [one.outcome for one in sim.ledger.deliveries] == ["dropped"] * len(EVENTS)
    await caller.create(StatusCallback=customer.url)
    await until(lambda: len(customer.received) == 4)
    assert len({one.form["CallSid"] for one in customer.received}) == 1
