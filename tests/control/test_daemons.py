"""Daemons one by one: the operator sees how one is, and asks it to drain."""

from __future__ import annotations

import json
import uuid

import sql
from tests.control.house import House
from tests.support.runs import Worker


async def test_a_daemon_is_asked_once_and_the_audit_log_says_by_whom(house: House) -> None:
    worker = await Worker.join(house.pool)
    path = f"/api/daemons/{worker.id}"
    shown = (await house.ask("GET", path)).data
    assert (shown["state"], shown["drain_requested_at"], shown["host"]) == ("live", None, "test")
    asked = await house.ask("POST", f"{path}/drain", json={"reason": "upgrade"})
    assert (asked.status, asked.data["state"]) == (200, "draining")
    again = await house.ask("POST", f"{path}/drain")
    assert again.data == asked.data, "the first moment stands"
    (row,) = await house.pool.fetch("SELECT actor, action, reason, business_id, details FROM audit_log")
    assert tuple(row)[:4] == ("operator", "drain_daemon", "upgrade", None)
    assert json.loads(row["details"]) == {"daemon_id": str(worker.id), "host": "test", "pid": 1}
    (listed,) = (await house.ask("GET", "/api/health")).data["daemons"]
    assert listed["draining"] is True


async def test_the_daemon_hears_of_it_when_it_shows_its_tally(house: House) -> None:
    worker, other = await Worker.join(house.pool), await Worker.join(house.pool)
    await house.ask("POST", f"/api/daemons/{worker.id}/drain")
    heard = [await house.pool.fetchval(sql.query("show_tally"), one.id, "{}") for one in (worker, other)]
    assert heard == [True, False]


async def test_one_that_leaves_is_draining_until_it_says_that_it_ends(house: House) -> None:
    worker = await Worker.join(house.pool)
    await house.pool.execute(sql.query("end_daemon"), worker.id)
    path = f"/api/daemons/{worker.id}"
    assert (await house.ask("GET", path)).data["state"] == "draining"
    asked = await house.ask("POST", f"{path}/drain")
    assert asked.data["drain_requested_at"] is None, "it leaves already"
    await house.pool.execute(sql.query("show_last_tally"), worker.id, "{}")
    assert (await house.ask("GET", path)).data["state"] == "gone"
    assert await house.pool.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_one_that_was_killed_is_gone(house: House) -> None:
    worker = await Worker.join(house.pool)
    await house.pool.execute("UPDATE dialer_daemons SET last_seen_at = now() - interval '7 seconds'")
    assert (await house.ask("GET", f"/api/daemons/{worker.id}")).data["state"] == "gone"


async def test_what_is_no_daemon_is_not_found(house: House) -> None:
    for name in (str(uuid.uuid4()), "7", "{" + str(uuid.uuid4()) + "}"):
        assert (await house.ask("GET", f"/api/daemons/{name}")).status == 404
        assert (await house.ask("POST", f"/api/daemons/{name}/drain")).status == 404
