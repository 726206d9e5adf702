"""The list of calls: filters, pages, lag."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from twilio.rest import Client

from simulator import Outcome, Simulator
from tests.simulator.customer import FROM, TO, Caller


async def test_newest_first_and_filtered_by_both_numbers(sim: Simulator, sdk: Client, caller: Caller) -> None:
    first = (await caller.create()).body["sid"]
    second = (await caller.create()).body["sid"]
    await caller.create(To="+15551230002")
    await caller.create(From="+15557770001")
    found = await asyncio.to_thread(lambda: sdk.calls.list(to=TO, from_=FROM))
    assert [call.sid for call in found] == [second, first]


async def test_status_filter(sim: Simulator, sdk: Client, caller: Caller) -> None:
    sim.script(TO, Outcome.BUSY, Outcome.ANSWERED)
    busy = (await caller.create()).body["sid"]
    answered = (await caller.create()).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    for status, sid in (("busy", busy), ("completed", answered)):
        found = await asyncio.to_thread(lambda status=status: sdk.calls.list(status=status))  # type: ignore[misc]
        assert [call.sid for call in found] == [sid]


async def test_pages_are_followed_though_new_calls_arrive(sim: Simulator, sdk: Client, caller: Caller) -> None:
    made = [(await caller.create()).body["sid"] for _ in range(5)]
    page = await asyncio.to_thread(lambda: sdk.calls.page(to=TO, page_size=2))
    seen = [call.sid for call in page]
    await caller.create()
    while page.next_page_url:
        page = await asyncio.to_thread(page.next_page)
        seen += [call.sid for call in page]
    assert seen == made[::-1]


async def test_next_page_uri_is_relative_and_page_size_is_capped(sim: Simulator, caller: Caller) -> None:
    await caller.create()
    await caller.create()
    body = (await caller.get("/Calls.json", PageSize="1")).body
    assert body["next_page_uri"].startswith(f"/2010-04-01/Accounts/{sim.settings.account_sid}/Calls.json?")
    assert (body["page"], body["page_size"], body["start"], body["end"]) == (0, 1, 0, 0)
    assert (await caller.get("/Calls.json", PageSize="5000")).body["page_size"] == 1000


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"start_time": "today"}, 1),
        ({"start_time_after": "yesterday"}, 1),
        ({"start_time_before": "yesterday"}, 0),
        ({"start_time_after": "tomorrow"}, 0),
        ({"end_time_before": "tomorrow"}, 1),
    ],
)
async def test_time_filters(
    sim: Simulator, sdk: Client, caller: Caller, parameters: dict[str, str], found: int
) -> None:
    sid = (await caller.create()).body["sid"]
    assert await sim.wait_for(lambda: sim.idle)
    started = sim.exchange.calls[sid].started_at
    assert started is not None
    today = started.date()
    days = {"today": today, "yesterday": today - timedelta(days=1), "tomorrow": today + timedelta(days=1)}
    filters = {key: days[day] for key, day in parameters.items()}
    assert len(await asyncio.to_thread(lambda: sdk.calls.list(**filters))) == found


async def test_a_queued_call_has_no_start_time_to_be_found_by(sim: Simulator, sdk: Client, caller: Caller) -> None:
    sim.change(queue_seconds=60)
    await caller.create()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert await asyncio.to_thread(lambda: sdk.calls.list(start_time_after=yesterday)) == []
    assert len(await asyncio.to_thread(lambda: sdk.calls.list(to=TO))) == 1


async def test_a_filter_that_is_no_date(caller: Caller) -> None:
    await caller.create()
    assert (await caller.get("/Calls.json", StartTime="soon")).status == 400


async def test_lag(sim: Simulator, caller: Caller) -> None:
    sim.change(list_lag_seconds=60)
    sid = (await caller.create()).body["sid"]
    assert (await caller.get("/Calls.json", To=TO)).body["calls"] == []
    assert (await caller.get(f"/Calls/{sid}.json")).status == 200
    sim.change(list_lag_seconds=0)
    assert [call["sid"] for call in (await caller.get("/Calls.json", To=TO)).body["calls"]] == [sid]
