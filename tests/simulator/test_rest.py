"""The REST API as the official SDK sees it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from simulator import Outcome, Simulator
from tests.simulator.customer import FROM, TO, TWIML, Caller, until


async def create(sdk: Client, **more: Any) -> Any:
    return await asyncio.to_thread(lambda: sdk.calls.create(**{"to": TO, "from_": FROM, "twiml": TWIML, **more}))


async def refused(sdk: Client, **more: Any) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as caught:
        await create(sdk, **more)
    return caught.value


async def test_create_answers_queued(sim: Simulator, sdk: Client) -> None:
    sim.change(queue_seconds=60)
    call = await create(sdk)
    assert call.sid.startswith("CA")
    assert len(call.sid) == 34
    assert (call.status, call.start_time, call.end_time, call.duration) == ("queued", None, None, None)
    assert (call.to, call._from, call.direction) == (TO, FROM, "outbound-api")
    assert abs(call.date_created - datetime.now(UTC)) < timedelta(seconds=5)
    assert call.uri == f"/2010-04-01/Accounts/{sim.settings.account_sid}/Calls/{call.sid}.json"
    assert call.subresource_uris["events"].endswith(f"/Calls/{call.sid}/Events.json")
    assert call.queue_time == "0"


async def test_create_has_the_carriers_headers_and_all_keys(sim: Simulator, caller: Caller) -> None:
    reply = await caller.create()
    assert reply.status == 201
    assert reply.headers["Twilio-Request-Id"].startswith("RQ")
    assert {"annotation", "group_sid", "parent_call_sid", "phone_number_sid", "price_unit"} <= set(reply.body)


async def test_fetch_shows_the_end(sim: Simulator, sdk: Client) -> None:
    call = await create(sdk)
    assert await sim.wait_for(lambda: sim.idle)
    fetched = await asyncio.to_thread(sdk.calls(call.sid).fetch)
    assert (fetched.status, fetched.duration) == ("completed", "1")
    assert fetched.start_time is not None
    assert fetched.end_time >= fetched.start_time


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"to": ""}, 400, 21201),
        ({"from_": ""}, 400, 21213),
        ({"to": "12"}, 400, 21211),
        ({"from_": "hello"}, 400, 21212),
        ({"twiml": ""}, 400, 21205),
        ({"twiml": "", "url": "ftp://nowhere"}, 400, 21205),
        ({"twiml": "x" * 4001}, 400, 21205),
        ({"timeout": 0}, 400, 21208),
        ({"timeout": 601}, 400, 21208),
        ({"method": "PUT"}, 400, 21209),
        ({"machine_detection": "Perhaps"}, 400, 21207),
        ({"status_callback": "nowhere"}, 400, 21609),
        ({"status_callback": "http://a.example", "status_callback_event": ["initiated ringing"]}, 400, 21626),
        ({"to": "+15005550001"}, 400, 21217),
        ({"to": "+15005550002"}, 400, 21214),
        ({"to": "+15005550003"}, 400, 21215),
        ({"to": "+15005550004"}, 400, 21216),
        ({"from_": "+15005550001"}, 400, 21212),
    ],
)
async def test_refusals(sim: Simulator, sdk: Client, parameters: dict[str, Any], status: int, code: int) -> None:
    error = await refused(sdk, **parameters)
    assert (error.status, error.code) == (status, code)
    assert sim.ledger.calls == {}
    assert [(one.verdict, one.code) for one in sim.ledger.arrivals] == [("refused", code)]


async def test_twiml_of_exactly_4000_characters_is_taken(sdk: Client) -> None:
    assert (await create(sdk, twiml="x" * 4000, timeout=600)).status == "queued"


async def test_credentials_are_checked(sim: Simulator, caller: Caller) -> None:
    caller.log_in(sim.settings.account_sid, "wrong")
    for reply in (await caller.create(), await caller.get("/Calls.json")):
        assert (reply.status, reply.body["code"], reply.body["status"]) == (401, 20003, 401)
        assert reply.body["more_info"].endswith("/20003")
        assert reply.headers["WWW-Authenticate"].startswith("Basic")
    assert [one.verdict for one in sim.ledger.arrivals] == ["refused"]


async def test_unknown_call_is_404(sdk: Client) -> None:
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(sdk.calls("CA" + "0" * 32).fetch)
    assert (caught.value.status, caught.value.code) == (404, 20404)


async def test_rest_never_says_initiated(sim: Simulator, sdk: Client) -> None:
    sim.change(setup_seconds=60)
    call = await create(sdk)
    await until(lambda: sim.exchange.calls[call.sid].status == "initiated")
    assert (await asyncio.to_thread(sdk.calls(call.sid).fetch)).status == "queued"


async def test_cancel_before_the_answer(sim: Simulator, sdk: Client) -> None:
    sim.everybody(Outcome.RINGS_FOREVER)
    call = await create(sdk)
    await until(lambda: sim.exchange.calls[call.sid].status == "ringing")
    updated = await asyncio.to_thread(lambda: sdk.calls(call.sid).update(status="canceled"))
    assert (updated.status, updated.duration) == ("canceled", "0")


async def test_only_completed_ends_an_answered_call(sim: Simulator, sdk: Client) -> None:
    sim.everybody(Outcome.STUCK)
    call = await create(sdk)
    await until(lambda: sim.exchange.calls[call.sid].status == "in-progress")
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(lambda: sdk.calls(call.sid).update(status="canceled"))
    assert (caught.value.status, caught.value.code) == (400, 21220)
    updated = await asyncio.to_thread(lambda: sdk.calls(call.sid).update(status="completed"))
    assert updated.status == "completed"


@pytest.mark.parametrize("wanted", ["canceled", "completed"])
async def test_update_of_an_ended_call(sim: Simulator, sdk: Client, wanted: str) -> None:
    call = await create(sdk)
    assert await sim.wait_for(lambda: sim.idle)
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(lambda: sdk.calls(call.sid).update(status=wanted))
    assert (caught.value.status, caught.value.code) == (400, 21220)


async def test_update_with_a_wrong_status(sim: Simulator, caller: Caller) -> None:
    sid = (await caller.create()).body["sid"]
    assert (await caller.post(f"/Calls/{sid}.json", Status="ringing")).status == 400


async def test_delete_only_when_over(sim: Simulator, sdk: Client) -> None:
    sim.everybody(Outcome.STUCK)
    call = await create(sdk)
    with pytest.raises(TwilioRestException) as caught:
        await asyncio.to_thread(sdk.calls(call.sid).delete)
    assert (caught.value.status, caught.value.code) == (409, 20009)
    await until(lambda: sim.exchange.calls[call.sid].status == "in-progress")
    await asyncio.to_thread(lambda: sdk.calls(call.sid).update(status="completed"))
    assert await asyncio.to_thread(sdk.calls(call.sid).delete)
    assert await asyncio.to_thread(lambda: sdk.calls.list(to=TO)) == []
    assert list(sim.ledger.calls) == [call.sid]


async def test_events_show_the_create_parameters(sim: Simulator, sdk: Client) -> None:
    url = "http://127.0.0.1:9/status?attempt=41"
    call = await create(sdk, status_callback=url, status_callback_event=["ringing", "answered"])
    assert await sim.wait_for(lambda: sim.ledger.live_now == 0)
    (event,) = await asyncio.to_thread(lambda: sdk.calls(call.sid).events.list())
    assert event.request["parameters"]["status_callback"] == url
    assert event.request["parameters"]["status_callback_event"] == "ringing answered"
    sim.change(events_lag_seconds=900)
    assert await asyncio.to_thread(lambda: sdk.calls(call.sid).events.list()) == []


async def test_fetch_lag(sim: Simulator, caller: Caller) -> None:
    sim.change(fetch_lag_seconds=60)
    sid = (await caller.create()).body["sid"]
    assert (await caller.get(f"/Calls/{sid}.json")).status == 404
    sim.change(fetch_lag_seconds=0)
    assert (await caller.get(f"/Calls/{sid}.json")).status == 200
