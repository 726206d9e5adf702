"""The switches over HTTP."""

import asyncio
from typing import Any

import pytest

from simulator import Outcome, Simulator
from tests.simulator.customer import FROM, TO, Caller, Customer, until


async def test_settings(sim: Simulator, caller: Caller) -> None:
    reply = await caller.switch("PATCH", "/settings", {"talk_seconds": 3, "groups": {FROM: "acme"}})
    assert (reply.status, reply.body["talk_seconds"]) == (200, 3)
    assert sim.settings.talk_seconds == 3
    assert (await caller.switch("GET", "")).body["settings"] == reply.body


@pytest.mark.parametrize(
    ("method", "path", "body", "word"),
    [
        ("PATCH", "/settings", {"talk_seconds": -1}, "talk_seconds"),
        ("PATCH", "/settings", {"tlak_seconds": 1}, "tlak_seconds"),
        ("POST", "/faults", {"on": "create"}, "do"),
        ("POST", "/faults", {"on": "create", "do": "lose"}, "not possible"),
        ("POST", "/faults", [], "object"),
        ("POST", "/scripts", {"to": TO, "outcomes": ["asleep"]}, "outcome"),
        ("POST", "/scripts", {"to": TO}, "outcomes"),
        ("POST", "/hangup", {}, "name"),
        ("POST", "/reset", {"what": ["world"]}, "world"),
        ("GET", "/wait?until=never", None, "never"),
        ("GET", "/wait?moons=3", None, "moons"),
    ],
)
async def test_bad_bodies_change_nothing(
    sim: Simulator, caller: Caller, method: str, path: str, body: Any, word: str
) -> None:
    before = sim.settings
    reply = await caller.switch(method, path, body)
    assert reply.status == 400
    assert word in reply.body["error"]
    assert sim.settings == before
    assert sim.faults.armed() == []


async def test_scripts(sim: Simulator, caller: Caller) -> None:
    body = {"to": TO, "outcomes": ["busy", {"outcome": "failed", "sip_code": 503}], "repeat_last": True}
    assert (await caller.switch("POST", "/scripts", body)).body == {"planned": 2}
    sids = [(await caller.create()).body["sid"] for _ in range(3)]
    assert await sim.wait_for(lambda: sim.idle)
    assert [sim.ledger.calls[sid].status for sid in sids] == ["busy", "failed", "failed"]
    assert (await caller.switch("DELETE", "/scripts")).status == 204
    sid = (await caller.create()).body["sid"]
    assert await sim.wait_for(lambda: sim.ledger.calls[sid].status == "completed")


async def test_faults(sim: Simulator, caller: Caller) -> None:
    fault = {"on": "create", "do": "error", "status": 503, "times": 2}
    assert (await caller.switch("POST", "/faults", fault)).status == 201
    assert (await caller.create()).status == 503
    (armed,) = (await caller.switch("GET", "/faults")).body["faults"]
    assert (armed["left"], armed["fault"]["status"]) == (1, 503)
    await caller.switch("DELETE", "/faults")
    assert (await caller.create()).status == 201


@pytest.mark.parametrize("by", ["sid", "to", "all"])
async def test_the_callee_hangs_up(sim: Simulator, caller: Caller, by: str) -> None:
    sim.everybody(Outcome.STUCK)
    sid = (await caller.create()).body["sid"]
    other = (await caller.create(To="+15551230002")).body["sid"]
    await until(lambda: {c.status for c in sim.exchange.calls.values()} == {"in-progress"})
    body = {"sid": {"sid": sid}, "to": {"to": TO}, "all": {"all": True}}[by]
    reply = await caller.switch("POST", "/hangup", body)
    assert reply.body["hung_up"] == ([sid, other] if by == "all" else [sid])
    assert sim.ledger.calls[sid].status == "completed"


async def test_a_ringing_call_is_declined(sim: Simulator, caller: Caller) -> None:
    sim.everybody(Outcome.RINGS_FOREVER)
    sid = (await caller.create()).body["sid"]
    await until(lambda: sim.ledger.calls[sid].status == "ringing")
    await caller.switch("POST", "/hangup", {"sid": sid})
    assert sim.ledger.calls[sid].status == "busy"
    assert (await caller.switch("POST", "/hangup", {"sid": sid})).body == {"hung_up": []}


async def test_ledger(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(groups={FROM: "acme"})
    await caller.create(StatusCallback=f"{customer.url}?attempt=a1")
    await caller.create(To="nobody")
    assert await sim.wait_for(lambda: sim.idle)
    body = (await caller.switch("GET", "/ledger")).body
    assert [call["attempt"] for call in body["calls"]] == ["a1"]
    assert [one["verdict"] for one in body["arrivals"]] == ["accepted", "refused"]
    assert [one["event"] for one in body["deliveries"] if one["terminal"]] == ["completed"]
    summary = (await caller.switch("GET", "/ledger/summary")).body
    assert {**summary, "now": 0} == {**body["summary"], "now": 0}
    assert (summary["creates"], summary["accepted"], summary["refused"]) == (2, 1, 1)
    assert (summary["most_live"], summary["most_live_by_group"]) == (1, {"acme": 1})
    assert (summary["most_calls_of_an_attempt"], summary["calls_per_number"]) == (1, {TO: 1})
    assert summary["callbacks"] == {"pending": 0, "delivered": 4, "dropped": 0, "lost": 0}
    assert (await caller.switch("GET", "/ledger?attempt=other")).body["calls"] == []


async def test_wait(sim: Simulator, caller: Caller) -> None:
    sim.change(talk_seconds=0.1)
    waiting = asyncio.create_task(caller.switch("GET", "/wait?creates=2&ended=1&idle=1&timeout=5"))
    await caller.create()
    assert not waiting.done()
    await caller.create()
    reply = await waiting
    assert (reply.status, reply.body["reached"], reply.body["calls"]) == (200, True, 2)
    late = await caller.switch("GET", "/wait?creates=3&timeout=0.05")
    assert (late.status, late.body["reached"]) == (408, False)


async def test_reset(sim: Simulator, caller: Caller) -> None:
    sim.change(talk_seconds=9)
    sim.misbehave("list", "error")
    assert (await caller.switch("POST", "/reset", {"what": ["faults"]})).status == 204
    assert (sim.faults.armed(), sim.settings.talk_seconds) == ([], 9)
    await caller.create(To="nobody")
    assert (await caller.switch("POST", "/reset")).status == 204
    assert sim.settings.talk_seconds == 0
    assert sim.ledger.arrivals == []
