"""Businesses and keys: the operator's."""

from typing import Any

import pytest
from redis.asyncio import Redis

from dialer.edges import wakeup
from tests.control.house import House
from tests.support.waiting import eventually


async def test_made_changed_and_read(house: House) -> None:
    made = await house.ask(
        "POST", "/api/businesses", json={"name": "אקמה", "default_region": "IL", "from_number": "03-1234567"}
    )
    assert made.status == 201
    shown = made.data
    assert shown.pop("created_at").endswith("Z")
    business_id = shown["business_id"]
    expected = {
        "business_id": business_id,
        "name": "אקמה",
        "max_concurrent_calls": 3,
        "from_number": "+97231234567",
        "default_region": "IL",
        "timezone": "UTC",
    }
    assert shown == expected

    changed = await house.ask(
        "PATCH", f"/api/businesses/{business_id}", json={"max_concurrent_calls": 7, "from_number": None}
    )
    assert changed.status == 200
    read = await house.ask("GET", f"/api/businesses/{business_id}")
    assert read.data == changed.data
    assert read.data["max_concurrent_calls"] == 7
    assert read.data["from_number"] is None
    assert read.data["name"] == "אקמה"


async def test_every_fault_is_named_at_once_and_none_repeats_the_input(house: House) -> None:
    body = {
        "name": "",
        "max_concurrent_calls": True,
        "from_number": "secret-number",
        "default_region": "XX",
        "timezone": "Nowhere/secret",
        "unknown_setting": 1,
    }
    answer = await house.ask("POST", "/api/businesses", json=body)
    assert answer.status == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert {fault["pointer"] for fault in answer.data["errors"]} == {f"/{name}" for name in body}
    assert answer.data["code"] == "invalid_input"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"name": "x"', "application/json", 422),
        (b"[" * 60_000, "application/json", 422),
        (b"\xff\xfe\x00", "application/json", 422),
        (b'{"name": "a\\u0000b"}', "application/json", 422),
        (b'{"name": "a\\ud800b"}', "application/json", 422),
        (b"[]", "application/json", 422),
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b'{"name": "' + b"x" * 70_000 + b'"}', "application/json", 413),
    ],
)
async def test_bodies_that_cannot_be_taken(house: House, body: bytes, content_type: str, status: int) -> None:
    answer = await house.ask("POST", "/api/businesses", data=body, headers={"Content-Type": content_type})
    assert answer.status == status, answer.text
    assert answer.data["status"] == status


async def test_lists_come_in_pages(house: House) -> None:
    made = [await house.business(name=f"b{number}") for number in range(5)]
    seen, cursor = [], ""
    while True:
        answer = await house.ask("GET", f"/api/businesses?limit=2&cursor={cursor}")
        seen += [business["business_id"] for business in answer.data["data"]]
        cursor = answer.data["next_cursor"]
        if cursor is None:
            break
    assert seen == made
    wrong = await house.ask("GET", "/api/businesses?limit=0&cursor=x")
    assert wrong.status == 422
    assert {fault["pointer"] for fault in wrong.data["errors"]} == {"/limit", "/cursor"}


async def test_a_token_is_shown_once_and_worth_nothing_after_it_was_revoked(house: House) -> None:
    business_id = await house.business()
    made = await house.ask("POST", f"/api/businesses/{business_id}/keys", json={"name": "crm", "role": "member"})
    token = made.data["token"]
    assert made.data["prefix"] == token[: len(made.data["prefix"])]
    assert (await house.ask("GET", "/api/runs", token)).status == 200
    listed = await house.ask("GET", f"/api/businesses/{business_id}/keys")
    assert [key["key_id"] for key in listed.data["data"]] == [made.data["key_id"]]
    assert token not in listed.text
    stored = await house.pool.fetchval(
        "SELECT count(*) FROM api_keys k WHERE k::text LIKE '%' || $1 || '%'", token
    )
    assert stored == 0

    for _ in range(2):
        assert (await house.ask("DELETE", f"/api/keys/{made.data['key_id']}")).status == 204
    assert (await house.ask("GET", "/api/runs", token)).status == 401


async def test_unknown_and_malformed_ids_are_not_found(house: House) -> None:
    for business_id in ("999", "x", "-1", "0", "99999999999999999999", "9223372036854775808", "%D9%A1"):
        assert (await house.ask("GET", f"/api/businesses/{business_id}")).status == 404
        assert (await house.ask("GET", f"/api/businesses/{business_id}/keys")).status == 404
        assert (await house.ask("PATCH", f"/api/businesses/{business_id}", json={"name": "x"})).status == 404
        made = await house.ask("POST", f"/api/businesses/{business_id}/keys", json={"name": "x"})
        assert made.status == 404
        assert (await house.ask("DELETE", f"/api/keys/{business_id}")).status == 404


async def test_a_new_limit_is_said_to_the_daemons(house: House, redis: Redis) -> None:
    business_id = await house.business()
    namespace = await house.pool.fetchval("SELECT id FROM installation")
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(wakeup.channel(str(namespace)))

        async def said() -> Any:
            return await pubsub.get_message(ignore_subscribe_messages=False)

        assert (await eventually(said))["type"] == "subscribe"
        await house.ask("PATCH", f"/api/businesses/{business_id}", json={"max_concurrent_calls": 9})
        heard = await eventually(said)
    assert heard["data"] == b'{"kind": "business", "business_id": %d}' % business_id


async def test_the_operators_programs_may_name_a_business_wherever_they_go(house: House) -> None:
    business = await house.business()
    for path in ("/api/businesses", f"/api/businesses/{business}", f"/api/businesses/{business}/keys"):
        shown = await house.ask("GET", f"{path}?business_id={business}")
        assert shown.status == 200, path
