"""Force-cancel with hangup: every live call ends, whenever its SID becomes known, and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from control.context import CONTEXT
from control.stopping.hangups import ANSWER_WITHIN_SECONDS, ASK_AGAIN_AFTER_SECONDS
from simulator import INSTANT, Simulator
from tests.control.house import ACCOUNT, AUTH_TOKEN, House, news, sid
from tests.support.runs import Run, Worker, add_business, add_run, assert_counters_match
from tests.support.waiting import eventually

# The carrier's client authenticates in a way that aiohttp 3.14 deprecates.

OpenHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def carrier() -> AsyncIterator[Simulator]:
    """Everybody answers and talks for ever; no callback gets through, since nobody listens at its URL."""
    settings = INSTANT.changed({"account_sid": ACCOUNT, "auth_token": AUTH_TOKEN})
    async with Simulator(settings).serve() as simulator:
        simulator.everybody("stuck")
        yield simulator


@pytest.fixture
async def house(open_house: OpenHouse, database: str, redis_url: str, carrier: Simulator) -> House:
    opened = await open_house(database, redis_url, TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_API_BASE_URL=carrier.url)
    return await opened.ready()


async def call(carrier: Simulator, phone: str = "+12125550100") -> str:
    """Place a call as a daemon would; its SID, once it is answered."""
    url = f"{carrier.url}/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    fields = {"To": phone, "From": "+15005550006", "Twiml": "<Response/>"}
    credentials = {"Authorization": "Basic " + b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()}
    async with aiohttp.ClientSession(headers=credentials) as http, http.post(url, data=fields) as answer:
        made: str = (await answer.json())["sid"]
    assert await carrier.wait_for(lambda: carrier.ledger.calls[made].answered is not None)
    return made


async def dialing(house: House, jobs: int, live: int) -> tuple[Run, list[Any]]:
    run = await add_run(house.pool, await add_business(house.pool, limit=50), jobs)
    worker = await Worker.join(house.pool)
    await worker.claim()
    return run, [row["attempt_id"] for row in await worker.intend(run.run_id, list(range(1, live + 1)))]


async def force_cancel(house: House, run: Run, **body: Any) -> Any:
    return await house.ask("POST", f"/api/runs/{run.run_id}/force-cancel", json={"hangup": True, **body})


def ended(carrier: Simulator, call_sid: str) -> bool:
    return carrier.ledger.calls[call_sid].ended is not None


async def test_calls_are_counted_though_the_loop_looks_all_the_time(house: House, carrier: Simulator) -> None:
    """It looks for due hang-ups too, and would take some away between the stop and the count."""
    hangups = house.client.app[CONTEXT].hangups

    async def look_and_look() -> None:
        while True:
            await hangups.look()
            await asyncio.sleep(0)  # a look that does nothing does not wait either

    looking = [asyncio.create_task(look_and_look()) for _ in range(3)]
    try:
        for _ in range(3):
            run, attempts = await dialing(house, 3, 3)
            for attempt in attempts:
                await house.call_status(attempt, news(await call(carrier), 2, "in-progress"))
            assert (await force_cancel(house, run)).data["calls_hung_up"] == 3
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


async def test_every_live_call_is_ended_and_counted(house: House, carrier: Simulator) -> None:
    run, attempts = await dialing(house, 9, 3)
    calls = [await call(carrier) for _ in attempts]
    for attempt, call_sid in zip(attempts, calls, strict=True):
        await house.call_status(attempt, news(call_sid, 2, "in-progress"))
    answer = await force_cancel(house, run)
    assert (answer.status, answer.data) == (
        200,
        {
            "run_id": run.run_id,
            "status": "cancelled",
            "jobs_cancelled": 6,
            "slots_released": 0,
            "calls_hung_up": 3,
        },
    )
    assert all(ended(carrier, call_sid) for call_sid in calls)
    again = await force_cancel(house, run)
    assert (again.data["jobs_cancelled"], again.data["calls_hung_up"]) == (0, 0)
    for attempt, call_sid in zip(attempts, calls, strict=True):
        await house.call_status(attempt, news(call_sid, 3, "completed"))
    assert (await house.run(run.run_id))["completed"] == 3


async def test_without_hangup_live_calls_are_left_alone(house: House, carrier: Simulator) -> None:
    run, [attempt] = await dialing(house, 2, 1)
    call_sid = await call(carrier)
    await house.call_status(attempt, news(call_sid, 2, "in-progress"))
    answer = await force_cancel(house, run, hangup=False)
    assert (answer.data["status"], answer.data["calls_hung_up"]) == ("cancelled", 0)
    await house.call_status(attempt, news(call_sid, 2, "in-progress"))
    assert not ended(carrier, call_sid)
    # Somebody has second thoughts.
    answer = await force_cancel(house, run)
    assert (answer.data["status"], answer.data["jobs_cancelled"], answer.data["calls_hung_up"]) == (
        "cancelled",
        0,
        1,
    )
    assert ended(carrier, call_sid)


async def test_a_call_whose_sid_comes_later_is_ended_then(house: House, carrier: Simulator) -> None:
    run, [attempt] = await dialing(house, 2, 1)
    answer = await force_cancel(house, run)
    assert (answer.data["status"], answer.data["calls_hung_up"]) == ("cancelled", 0)
    call_sid = await call(carrier)
    await house.call_status(attempt, news(call_sid, 1, "ringing"))
    await eventually(lambda: ended(carrier, call_sid))


async def test_another_control_goes_on_where_one_died(
    open_house: OpenHouse, database: str, redis_url: str, carrier: Simulator, pool: Any
) -> None:
    """The run says that its calls are to end; who said so never came to asking."""
    run = await add_run(pool, await add_business(pool), 2)
    worker = await Worker.join(pool)
    await worker.claim()
    [intent] = await worker.intend(run.run_id, [1])
    call_sid = await call(carrier)
    await pool.fetchrow(
        "SELECT take_carrier_event($1, $2, 'answer', NULL, 'queued', NULL, NULL, NULL, NULL, NULL)",
        intent["attempt_id"],
        call_sid,
    )
    await pool.fetchrow("SELECT * FROM stop_run($1, 'force_cancel', 'operator', NULL, true)", run.run_id)
    house = await open_house(database, redis_url, TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_API_BASE_URL=carrier.url)
    await house.ready()
    await eventually(lambda: ended(carrier, call_sid))


async def test_a_carrier_that_fails_is_asked_again(house: House, carrier: Simulator) -> None:
    run, [attempt] = await dialing(house, 2, 1)
    call_sid = await call(carrier)
    await house.call_status(attempt, news(call_sid, 2, "in-progress"))
    carrier.misbehave("update", "error", status=503)
    with capture_logs() as logs:
        answer = await force_cancel(house, run)
    assert (answer.data["status"], answer.data["calls_hung_up"]) == ("cancelled", 0)
    assert "HANG_UP_FAILED" in [entry["event"] for entry in logs]
    await eventually(lambda: ended(carrier, call_sid), timeout=2 * ASK_AGAIN_AFTER_SECONDS)


async def test_a_call_that_ended_unheard_is_looked_up_and_settled(house: House, carrier: Simulator) -> None:
    """Its callback was lost: the carrier refuses the hang-up, and shows how the call went."""
    run, [attempt] = await dialing(house, 2, 1)
    call_sid = await call(carrier)
    await house.call_status(attempt, news(call_sid, 2, "in-progress"))
    carrier.exchange.callee_hangs_up(carrier.exchange.calls[call_sid])
    answer = await force_cancel(house, run)
    assert answer.data["calls_hung_up"] == 0

    async def settled() -> bool:
        return bool((await house.run(run.run_id))["completed"] == 1)

    await eventually(settled)
    await assert_counters_match(house.pool, run.run_id)


async def test_a_slow_carrier_does_not_hold_up_the_answer(house: House, carrier: Simulator) -> None:
    run, [attempt] = await dialing(house, 2, 1)
    call_sid = await call(carrier)
    await house.call_status(attempt, news(call_sid, 2, "in-progress"))
    carrier.misbehave("update", "slow", seconds=20)
    began = time.monotonic()
    answer = await force_cancel(house, run)
    assert time.monotonic() - began < 2 * ANSWER_WITHIN_SECONDS
    assert (answer.data["status"], answer.data["calls_hung_up"]) == ("cancelled", 0)


async def test_calls_of_another_account_are_reported_not_hung_up(house: House, carrier: Simulator) -> None:
    run, [attempt] = await dialing(house, 2, 1)
    await house.pool.execute("UPDATE outbound_call_attempts SET account_sid = $1", "AC" + "1" * 32)
    await house.call_status(attempt, news(sid(), 2, "in-progress"))
    with capture_logs() as logs:
        answer = await force_cancel(house, run)
    assert (answer.data["status"], answer.data["calls_hung_up"]) == ("cancelled", 0)
    assert "HANG_UP_IMPOSSIBLE" in [entry["event"] for entry in logs]


async def test_without_an_account_a_hangup_is_refused_and_nothing_done(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    house = await (await open_house(database, redis_url)).ready()
    run, _ = await dialing(house, 2, 1)
    answer = await force_cancel(house, run)
    assert (answer.status, answer.data["code"]) == (409, "carrier_not_configured")
    assert (await house.run(run.run_id))["status"] == "running"
    assert (await force_cancel(house, run, hangup=False)).data["status"] == "cancelled"
