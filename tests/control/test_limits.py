"""Rate limits: of tokens, and of guessing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from control.events.watcher import MOST_STREAMS
from control.requests.limits import MOST_BUCKETS, Buckets
from tests.control.gate import gate_before
from tests.control.house import OPERATOR, Answer, House, news, sid
from tests.control.listening import listening, open_streams
from tests.support.waiting import eventually

OpenHouse = Callable[..., Awaitable[House]]


async def _until_limited(house: House, token: str | None, path: str = "/api/runs") -> Answer:
    """Ask until it is too often; more often than any limit of these tests, it never is."""
    for _ in range(200):
        answer = await house.ask("GET", path, token)
        if answer.status == 429:
            return answer
    raise AssertionError("never refused")


async def test_a_burst_then_429_then_it_recovers_and_others_go_on(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    house = await (await open_house(database, redis_url, RATE_LIMIT_PER_SECOND="5")).ready()
    business = await house.business()
    greedy, modest = await house.key(business), await house.key(business)
    (attempt,) = await house.attempts()
    for _ in range(10):
        assert (await house.ask("GET", "/api/runs", greedy)).status == 200
    refused = await _until_limited(house, greedy)
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert (refused.data["code"], refused.headers["Retry-After"]) == ("rate_limited", "1")
    assert (await house.ask("POST", "/api/runs", greedy)).status == 429
    # Neither another key of the same business, nor the probes, nor the carrier have anything to do with it.
    assert (await house.ask("GET", "/api/runs", modest)).status == 200
    call = sid()
    for number in range(30):
        assert (await house.call_status(attempt, news(call, number, "ringing"))).status == 204
        assert (await house.ask("GET", "/livez", greedy)).status == 200
        assert (await house.ask("GET", "/api/health", greedy)).status == 200

    async def is_served() -> bool:
        return (await house.ask("GET", "/api/runs", greedy)).status == 200

    await eventually(is_served)


async def test_the_operator_is_limited_too_and_whoever_is_limited_costs_no_statement(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    async with gate_before(database) as gate:
        house = await (await open_house(gate.dsn, redis_url, RATE_LIMIT_PER_SECOND="0.001")).ready()
        assert (await house.ask("GET", "/api/runs")).status == 200
        refused = await house.ask("GET", "/api/runs")
        assert refused.status == 429
        assert 900 < int(refused.headers["Retry-After"]) <= 1000
        await gate.shut()
        assert (await house.ask("GET", "/api/runs")).status == 429
        # Another one is looked up, of course.
        assert (await house.ask("GET", "/api/runs", "x")).status == 503


async def test_a_key_that_was_revoked_a_moment_ago_is_refused(house: House) -> None:
    business = await house.business()
    made = await house.ask("POST", f"/api/businesses/{business}/keys", json={"name": "x", "role": "member"})
    token = made.data["token"]
    assert (await house.ask("GET", "/api/runs", token)).status == 200
    await house.ask("DELETE", f"/api/keys/{made.data['key_id']}")
    assert (await house.ask("GET", "/api/runs", token)).status == 401


async def test_guessing_is_limited_and_keys_at_the_same_address_go_on(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    house = await (await open_house(database, redis_url, RATE_LIMIT_PER_SECOND="5")).ready()
    key = await house.key(await house.business())
    assert (await house.ask("GET", "/api/runs", key)).status == 200
    for number in range(10):
        assert (await house.ask("GET", "/api/runs", f"guess-{number}")).status == 401
    assert (await _until_limited(house, "another-guess")).data["code"] == "rate_limited"
    assert (await house.ask("GET", "/api/health", "one-more")).status == 429
    for token in (key, OPERATOR):
        assert (await house.ask("GET", "/api/runs", token)).status == 200
    assert (await house.ask("GET", "/livez", None)).status == 200


async def test_a_business_has_so_many_streams_and_the_operator_as_many(house: House) -> None:
    business = await house.business()
    key, others = await house.key(business), await house.key(await house.business())
    url = house.client.make_url("/api/events")
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        contextlib.AsyncExitStack() as stack,
    ):

        async def opened(token: str, **query: int) -> int:
            asked = session.get(url, params=query, headers={"Authorization": f"Bearer {token}"})
            return (await stack.enter_async_context(asked)).status

        assert set(await asyncio.gather(*(opened(key) for _ in range(MOST_STREAMS)))) == {200}
        refused = await house.ask("GET", "/api/events", key)
        assert (refused.status, refused.data["code"]) == (429, "too_many_streams")
        assert int(refused.headers["Retry-After"]) > 0
        assert await opened(OPERATOR, business_id=business) == 200
        assert await opened(others) == 200
    # They have left: there is room again.
    await eventually(lambda: not open_streams(house))
    async with listening(house, "", key):
        assert len(open_streams(house)) == 1


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.1, 50))
def test_never_more_than_the_burst_and_what_has_filled_since(pauses: list[float], rate: float) -> None:
    now = 0.0
    buckets = Buckets(rate, lambda: now)
    taken = 0
    for pause in pauses:
        now += pause
        expected = buckets.wait("a")
        got = buckets.take("a")
        assert got == expected
        taken += got == 0.0
        assert taken <= max(2 * rate, 1) + now * rate + 1e-6
        # Whoever waits as long as it is told is served.
        if got:
            now += got * 1.000001
            assert buckets.take("a") == 0.0
            taken += 1


def test_no_number_of_names_makes_it_grow() -> None:
    buckets = Buckets(1.0, lambda: 0.0)
    for number in range(MOST_BUCKETS):
        buckets.take(number)
        assert buckets.take("mine") == (0.0 if number < 2 else buckets.wait("mine"))
    assert len(buckets) == MOST_BUCKETS
    # Who keeps asking is not forgotten, and gets no new bucket.
    assert buckets.wait("mine") > 0
