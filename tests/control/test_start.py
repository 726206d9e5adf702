"""Starting a run: what is sent is what is dialed, or it is said where it is wrong."""

import asyncio
import io
import json
from typing import Any

import pytest
from redis.asyncio import Redis
from yarl import URL

from control.context import CONTEXT
from control.lists.leads import LEADS_IN_A_PIECE
from dialer.edges import wakeup
from tests.control.counting import Counted
from tests.control.house import TWIML, Answer, House
from tests.support.runs import assert_counters_match
from tests.support.waiting import eventually

CSV = {"Content-Type": "text/csv; charset=utf-8"}


async def test_a_start_in_json(house: House) -> None:
    business_id = await house.business(max_concurrent_calls=5)
    token = await house.key(business_id)
    body = {
        "leads": [
            {"phone": "+972501234567", "lead_id": "2502", "name": "Dana", "variables": {"city": "Haifa"}},
            {"phone": "050-123-4567"},
            {"phone": "050-123-4568", "name": "נועה"},
            {"phone": "bad"},
        ],
        "name": "spring",
        "from_number": "03-1234567",
        "concurrency": 100,
        "url": "https://example.com/call?x=1",
        "record": True,
        "machine_detection": True,
        "ring_timeout_seconds": 30,
        "call_time_limit_seconds": 600,
    }
    answer = await house.ask("POST", "/api/outbound_calls/start", token, json=body)
    assert answer.status == 201, answer.text
    run_id = answer.data["run_id"]
    assert answer.data == {
        "run_id": run_id,
        "status": "pending",
        "queued": 2,
        "rejected": [{"index": 3, "code": "invalid_phone"}],
        "duplicates": 1,
    }
    settings = await house.pool.fetchrow("SELECT * FROM outbound_call_run_settings WHERE run_id = $1", run_id)
    assert dict(settings) == {
        "run_id": run_id,
        "business_id": business_id,
        "twiml": None,
        **{name: body[name] for name in body if name not in ("leads", "concurrency", "from_number")},
        "from_number": "+97231234567",
    }
    run = await house.run(run_id)
    assert (run["status"], run["queued"], run["total"], run["concurrency"]) == ("pending", 2, 2, 5)
    jobs = (await house.ask("GET", f"/api/runs/{run_id}/jobs", token)).data["data"]
    assert [(job["phone"], job["lead_id"], job["name"], job["variables"]) for job in jobs] == [
        ("+972501234567", "2502", "Dana", {"city": "Haifa"}),
        ("+972501234568", None, "נועה", {}),
    ]
    await assert_counters_match(house.pool, run_id)


async def test_a_thousand_leads_in_csv_are_all_accounted_for(house: House) -> None:
    rows, bad = ["phone,lead_id,name,city"], set()
    for number in range(1000):
        phone = f"+9725012{number:05}"
        if number % 10 == 3:
            phone = ["", "not a number", "+1", "000"][number // 10 % 4]
            bad.add(number)
        elif number % 50 == 7:
            phone = "050-12-00000"  # the first again
        rows.append(f'{phone},{number},"כהן, ""דנה"" {number}",חיפה')
    business_id = await house.business()
    answer = await house.ask(
        "POST",
        f"/api/outbound_calls/start?business_id={business_id}&concurrency=2&name=אביב&record=true",
        data=b"\xef\xbb\xbf" + "\r\n".join(rows).encode(),
        params={"twiml": TWIML},
        headers=CSV,
    )
    assert answer.status == 201, answer.text
    run_id = answer.data["run_id"]
    assert {rejected["index"] for rejected in answer.data["rejected"]} == bad
    assert answer.data["duplicates"] == 20
    assert answer.data["queued"] == 1000 - len(bad) - 20
    stored = await house.pool.fetch(
        "SELECT lead_id::int, phone, name, variables::text FROM outbound_call_jobs WHERE run_id = $1", run_id
    )
    assert len(stored) == answer.data["queued"]
    for row in stored:
        assert row["phone"] == f"+9725012{row['lead_id']:05}"
        assert row["name"] == f'כהן, "דנה" {row["lead_id"]}'
        assert json.loads(row["variables"]) == {"city": "חיפה"}
    run = await house.run(run_id)
    assert (run["concurrency"], run["name"]) == (2, "אביב")
    await assert_counters_match(house.pool, run_id)


async def test_every_fault_is_named_at_once(house: House) -> None:
    business_id = await house.business()
    body = {
        "business_id": business_id,
        "leads": [{"phone": "1"}, 7],
        "concurrency": 0,
        "from_number": "secret",
        "ring_timeout_seconds": 601,
        "call_time_limit_seconds": "5",
        "name": "a\x00b",
        "concurency": 3,
    }
    answer = await house.ask("POST", "/api/runs", json=body)
    assert answer.status == 422
    pointers = {fault["pointer"] for fault in answer.data["errors"]}
    assert pointers == {"/leads/0", "/leads/1", "/twiml", *(f"/{name}" for name in list(body)[2:])}
    assert "secret" not in answer.text
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 0


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"leads": []}, "/leads"),
        ({"leads": None}, "/leads"),
        ({"leads": {"phone": "+972501234567"}}, "/leads"),
        ({"leads": [{"phone": "12"}]}, "/leads/0"),
        ({"url": "https://example.com"}, "/url"),
        ({"twiml": None}, "/twiml"),
        ({"twiml": None, "url": "file:///etc/passwd"}, "/url"),
        ({"twiml": ""}, "/twiml"),
        ({"twiml": "a\ud800"}, "/twiml"),
        ({"concurrency": True}, "/concurrency"),
        ({"record": 1}, "/record"),
        ({"business_id": "1"}, "/business_id"),
        ({"business_id": None}, "/business_id"),
    ],
)
async def test_a_single_fault(house: House, fields: dict[str, Any], pointer: str) -> None:
    business_id = await house.business()
    answer = await house.start(business_id, ["+972501234567"], **fields)
    assert answer.status == 422, answer.text
    assert [fault["pointer"] for fault in answer.data["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 422, "invalid_json"),
        (b'{"leads": [NaN]}', "application/json", 422, "invalid_json"),
        (b'{"leads": ' + b"[" * 100_000, "application/json", 422, "invalid_json"),
        (b"[]", "application/json", 422, "invalid_json"),
        (b"\xff", "application/json", 422, "invalid_json"),
        (b"\xff", "text/csv", 422, "invalid_encoding"),
        (b"name\nDana", "text/csv", 422, "no_phone_column"),
        (b"phone", "text/csv", 422, "invalid_input"),
        (b"phone=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
async def test_bodies_that_cannot_be_read(
    house: House, body: bytes, content_type: str, status: int, code: str
) -> None:
    business_id = await house.business()
    path = f"/api/runs?business_id={business_id}"
    answer = await house.ask("POST", path, data=body, headers={"Content-Type": content_type})
    assert (answer.status, answer.data["code"]) == (status, code)


@pytest.mark.parametrize("content_type", ["application/csv", "multipart/form-data; boundary=x"])
async def test_a_list_of_another_type_is_refused_for_that(house: House, content_type: str) -> None:
    path = f"/api/runs?business_id={await house.business()}&twiml=%3CResponse/%3E&concurrency=2"
    answer = await house.ask(
        "POST", URL(path, encoded=True), data=b"phone\n+972501234567", headers={"Content-Type": content_type}
    )
    assert (answer.status, answer.data["code"]) == (415, "unsupported_media_type")


async def test_what_is_null_is_not_set(house: House) -> None:
    names = ("name", "from_number", "concurrency", "url", "record", "machine_detection", "ring_timeout_seconds")
    answer = await house.start(await house.business(), ["+972501234567"], **dict.fromkeys(names))
    assert answer.status == 201, answer.text
    [kept] = await house.pool.fetch("SELECT record, machine_detection FROM outbound_call_run_settings")
    assert tuple(kept) == (False, False)


@pytest.mark.parametrize(
    "query", ["name=%ED%A0%80", "name=%FF", "name=a%00b", "concurrency=0", "leads=1", "%00=1"]
)
async def test_a_query_string_is_checked_like_a_body(house: House, query: str) -> None:
    path = f"/api/runs?business_id={await house.business()}&twiml=%3CResponse/%3E&{query}"
    answer = await house.ask(
        "POST", URL(path, encoded=True), data=b"phone\n+972501234567", headers={"Content-Type": "Text/CSV"}
    )
    # Bytes that are no UTF-8 were replaced, and make a harmless name.
    assert answer.status == (201 if query.startswith("name=%E") or query == "name=%FF" else 422), answer.text


async def test_a_body_above_the_limit(open_house: Any, database: str, redis_url: str) -> None:
    house = await (await open_house(database, redis_url, MAX_REQUEST_BYTES="2000")).ready()
    business_id = await house.business()
    answer = await house.start(business_id, ["+972501234567"] * 200)
    assert (answer.status, answer.data["code"]) == (413, "too_large")

    async def in_chunks() -> Any:
        for _ in range(30):
            yield b" " * 100

    chunked = await house.ask("POST", "/api/runs", data=in_chunks(), headers={"Content-Type": "application/json"})
    assert chunked.status == 413


async def test_a_from_number_is_needed_somewhere(open_house: Any, database: str, redis_url: str) -> None:
    house = await (await open_house(database, redis_url, TWILIO_FROM_NUMBER="")).ready()
    business_id = await house.business()
    refused = await house.start(business_id, ["+972501234567"])
    assert refused.status == 422
    assert [fault["pointer"] for fault in refused.data["errors"]] == ["/from_number"]

    await house.ask("PATCH", f"/api/businesses/{business_id}", json={"from_number": "+97231234567"})
    assert (await house.start(business_id, ["+972501234567"])).status == 201
    assert (await house.start(business_id, ["+972501234567"], from_number="+97239999999")).status == 201
    used = await house.pool.fetch("SELECT from_number FROM outbound_call_run_settings ORDER BY run_id")
    assert [row["from_number"] for row in used] == ["+97231234567", "+97239999999"]


async def test_a_hundred_thousand_leads_leave_callbacks_alone(house: House) -> None:
    business_id = await house.business()
    leads = [
        {"phone": f"+97250{number:07}", "lead_id": str(number), "variables": {"city": "חיפה"}}
        for number in range(100_000)
    ]
    answer, longest = await _started_beside_others(house, business_id, leads)
    assert (answer.status, answer.data["queued"]) == (201, 100_000)
    run = await house.run(answer.data["run_id"])
    assert (run["queued"], run["total"]) == (100_000, 100_000)
    # Numbers parsed in the event loop would stop everything for twice as long.
    assert longest < 1.0

    async def analyzed() -> bool:
        tuples = await house.pool.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'outbound_call_jobs'")
        return bool(tuples >= 100_000)

    await eventually(analyzed, timeout=20)


async def _started_beside_others(house: House, business_id: int, leads: list[Any]) -> tuple[Answer, float]:
    """The answer, and the longest time that anything else waited for its own meanwhile."""
    body = json.dumps({"business_id": business_id, "leads": leads, "twiml": TWIML}).encode()
    start = asyncio.create_task(
        house.ask("POST", "/api/runs", data=io.BytesIO(body), headers={"Content-Type": "application/json"})
    )
    longest = 0.0
    while not start.done():
        asked = asyncio.get_running_loop().time()
        assert (await house.ask("GET", "/livez", None)).status == 200
        longest = max(longest, asyncio.get_running_loop().time() - asked)
    return await start, longest


@pytest.mark.parametrize("good", [1, 0])
async def test_very_many_that_are_no_leads_leave_callbacks_alone(house: House, good: int) -> None:
    leads = [{"phone": "+972501234567"}] * good + [1] * 400_000
    answer, longest = await _started_beside_others(house, await house.business(), leads)
    assert answer.status == (201 if good else 422)
    named = answer.data["rejected"] if good else answer.data["errors"]
    assert len(named) == 400_000
    # The answer made in the event loop would stop everything for twice as long.
    assert longest < 1.0


async def test_the_daemons_are_told(house: House, redis: Redis) -> None:
    business_id = await house.business()
    namespace = await house.pool.fetchval("SELECT id FROM installation")
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(wakeup.channel(str(namespace)))

        async def said() -> Any:
            return await pubsub.get_message(ignore_subscribe_messages=False)

        assert (await eventually(said))["type"] == "subscribe"
        started = await house.start(business_id, ["+972501234567"])
        heard = await eventually(said)
    assert json.loads(heard["data"]) == {
        "kind": "run",
        "business_id": business_id,
        "run_id": started.data["run_id"],
    }


@pytest.mark.parametrize("many", [1, 2 * LEADS_IN_A_PIECE + 1])
async def test_a_start_is_as_many_statements_however_long_the_list(house: House, database: str, many: int) -> None:
    business = await house.business()
    counted = Counted(database)
    await counted.open()
    house.client.app[CONTEXT].database = counted
    body = {
        "business_id": business,
        "leads": [{"phone": f"+12125{n:06}"} for n in range(many)],
        "twiml": TWIML,
        "from_number": "+15005550006",
    }
    try:
        first = await house.ask("POST", "/api/runs", json=body)
        assert first.data["queued"] == many, first.text
        assert counted.asked == ["show_business", "insert_run", "COPY outbound_call_jobs"]
        counted.asked.clear()
        for expected in (
            ["recall_answer", "show_business", "insert_run", "keep_answer", "COPY outbound_call_jobs"],
            ["recall_answer"],
        ):
            await house.ask("POST", "/api/runs", json=body, headers={"Idempotency-Key": "once"})
            assert counted.asked == expected
            counted.asked.clear()
    finally:
        await counted.close()
