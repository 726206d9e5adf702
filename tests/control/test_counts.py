"""GET /api/outbound_calls/counts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.house import House, news, sid
from tests.support.runs import Worker, add_business, add_run

PATH = "/api/outbound_calls/counts"


async def _counts(house: House, token: str) -> Any:
    answer = await house.ask("GET", PATH, token)
    assert answer.status == 200, answer.text
    return answer.data


async def test_what_is_live_and_what_waits(house: House) -> None:
    business = await add_business(house.pool, limit=5)
    token = await house.key(business, "read_only")
    assert await _counts(house, token) == {"active": 0, "limit": 5, "waiting": 0}
    run, paused = await add_run(house.pool, business, 7), await add_run(house.pool, business, 4)
    await house.pool.execute("UPDATE outbound_call_runs SET status = 'paused' WHERE id = $1", paused.run_id)
    other = await add_run(house.pool, await add_business(house.pool), 9)
    worker = await Worker.join(house.pool)
    await worker.claim()
    await worker.claim()
    first, _ = await worker.intend(run.run_id, [1, 2])
    await worker.intend(other.run_id, [1])
    assert await _counts(house, token) == {"active": 2, "limit": 5, "waiting": 5 + 4}

    await house.call_status(first["attempt_id"], news(sid(), 3, "busy"))
    assert await _counts(house, token) == {"active": 1, "limit": 5, "waiting": 9}
    # What is given up waits no longer, though no row has been swept; the call is live all the same.
    await house.pool.execute("UPDATE outbound_call_runs SET cancel_requested = true WHERE id = $1", run.run_id)
    assert await _counts(house, token) == {"active": 1, "limit": 5, "waiting": 4}
    await house.pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", paused.run_id)
    assert await _counts(house, token) == {"active": 1, "limit": 5, "waiting": 0}


async def test_whose_they_are(house: House) -> None:
    mine, other = await add_business(house.pool, limit=2), await add_business(house.pool, limit=4)
    token = await house.key(mine)
    assert (await house.ask("GET", f"{PATH}?business_id={mine}", token)).data["limit"] == 2
    assert (await house.ask("GET", f"{PATH}?business_id={other}", token)).status == 403
    assert (await house.ask("GET", f"{PATH}?business_id={other}")).data["limit"] == 4
    unnamed = await house.ask("GET", PATH)
    assert (unnamed.status, unnamed.data["errors"][0]["pointer"]) == (422, "/business_id")


@pytest.mark.parametrize("business", ["999", "x", "-1", "", "9" * 30])
async def test_no_such_business(house: House, business: str) -> None:
    answer = await house.ask("GET", f"{PATH}?business_id={business}")
    assert (answer.status, answer.data["code"]) == (404, "not_found")
