"""The same Idempotency-Key makes one run, however often and however much at once it is sent."""

import asyncio
from typing import Any

import pytest

from tests.control.house import TWIML, Answer, House

KEY = {"Idempotency-Key": "import-17"}


def _body(business_id: int, **fields: Any) -> dict[str, Any]:
    return {"business_id": business_id, "leads": [{"phone": "+972501234567"}], "twiml": TWIML, **fields}


async def _start(house: House, body: dict[str, Any], **headers: str) -> Answer:
    return await house.ask("POST", "/api/runs", json=body, headers={**KEY, **headers})


async def _runs(house: House) -> int:
    count: int = await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs")
    return count


async def test_a_repeat_gets_the_same_answer(house: House) -> None:
    body = _body(await house.business())
    body["leads"].append({"phone": "1"})
    first, again = await _start(house, body), await _start(house, body)
    assert (first.status, again.status) == (201, 201)
    assert first.text == again.text
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await _runs(house) == 1


async def test_many_at_once_make_one_run(house: House) -> None:
    body = _body(await house.business())
    answers = await asyncio.gather(*(_start(house, body) for _ in range(20)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.data["run_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert await _runs(house) == 1
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_jobs") == 1


async def test_different_requests_at_once_under_one_key(house: House) -> None:
    business_id = await house.business()
    answers = await asyncio.gather(*(_start(house, _body(business_id, name=str(n % 2))) for n in range(10)))
    assert sorted({answer.status for answer in answers}) == [201, 422]
    assert {answer.data["code"] for answer in answers if answer.status == 422} == {"idempotency_key_reused"}
    assert await _runs(house) == 1


async def test_a_repeat_is_answered_as_before_whatever_has_changed_since(house: House) -> None:
    business_id = await house.business(from_number="+97231234567")
    body = _body(business_id)
    first = await _start(house, body)
    await house.ask("PATCH", f"/api/businesses/{business_id}", json={"from_number": None})
    assert (await _start(house, body)).data == first.data


async def test_what_was_refused_may_be_mended_under_the_same_key(house: House) -> None:
    business_id = await house.business()
    assert (await _start(house, _body(business_id, concurrency=0))).status == 422
    assert (await _start(house, _body(business_id, concurrency=1))).status == 201


async def test_keys_are_a_business_own_and_last_a_day(house: House) -> None:
    one, other = await house.business(), await house.business()
    first = await _start(house, _body(one))
    assert (await _start(house, _body(other))).data["run_id"] != first.data["run_id"]
    await house.pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    late = await _start(house, _body(one))
    assert late.status == 201
    assert late.data["run_id"] != first.data["run_id"]
    assert (await _start(house, _body(one))).data == late.data


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\u200fb"])
async def test_keys_that_are_none(house: House, key: str) -> None:
    business_id = await house.business()
    answer = await _start(house, _body(business_id), **{"Idempotency-Key": key})
    assert answer.status == 422


async def test_settings_of_a_csv_are_part_of_the_request(house: House) -> None:
    path = f"/api/runs?business_id={await house.business()}&twiml=%3CResponse/%3E"
    headers = {**KEY, "Content-Type": "text/csv"}
    first = await house.ask("POST", path, data=b"phone\n+972501234567", headers=headers)
    again = await house.ask("POST", path, data=b"phone\n+972501234567", headers=headers)
    other = await house.ask("POST", f"{path}&concurrency=1", data=b"phone\n+972501234567", headers=headers)
    assert (first.status, again.data, other.status) == (201, first.data, 422)
