"""Keys, and who did what."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any

from control.resources.keys import MARK
from tests.control.house import TWIML, House
from tests.support.runs import Worker, add_business, add_run
from tests.support.waiting import eventually


async def audited(house: House, *what: str) -> list[tuple[Any, ...]]:
    """(these columns) of the audit log, oldest first."""
    return [tuple(row) for row in await house.pool.fetch(f"SELECT {', '.join(what)} FROM audit_log ORDER BY id")]


async def new_key(house: House, business_id: int, **fields: str) -> dict[str, Any]:
    made = await house.ask("POST", f"/api/businesses/{business_id}/keys", json={"name": "CRM", **fields})
    assert made.status == 201, made.text
    data: dict[str, Any] = made.data
    return data


async def test_a_token_is_long_random_and_recognised_at_sight(house: House) -> None:
    business_id = await house.business()
    made = [await new_key(house, business_id) for _ in range(20)]
    for key in made:
        assert set(key) == {"key_id", "business_id", "name", "role", "prefix", "token"}
        assert re.fullmatch(r"dialer_key_[A-Za-z0-9_-]{52}", key["token"])
        hidden = key["token"].removeprefix(key["prefix"])
        assert len(base64.urlsafe_b64decode(hidden + "=" * (-len(hidden) % 4))) * 8 >= 256
        assert key["prefix"].startswith(MARK)
        assert key["role"] == "member"
    assert len({key["token"] for key in made}) == len({key["prefix"] for key in made}) == 20


async def test_of_a_token_only_the_hash_is_kept_and_it_is_shown_once(house: House) -> None:
    business_id = await house.business()
    key = await new_key(house, business_id, role="read_only")
    row = await house.pool.fetchrow("SELECT * FROM api_keys")
    assert row["token_hash"] == hashlib.sha256(key["token"].encode()).digest()
    tables = await house.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        found = await house.pool.fetchval(
            f'SELECT count(*) FROM "{table["tablename"]}" t WHERE strpos(t::text, $1) > 0', key["token"]
        )
        assert found == 0, table["tablename"]
    listed = await house.ask("GET", f"/api/businesses/{business_id}/keys")
    (shown,) = listed.data["data"]
    assert set(shown) == {"key_id", "business_id", "name", "role", "prefix", "created_at", "revoked_at"}
    assert shown["revoked_at"] is None


async def test_revoking_twice_is_revoking_once(house: House) -> None:
    business_id = await house.business()
    key = await new_key(house, business_id)
    assert (await house.ask("GET", "/api/runs", key["token"])).status == 200
    for _ in range(2):
        revoked = await house.ask("DELETE", f"/api/keys/{key['key_id']}")
        assert (revoked.status, revoked.text) == (204, "")
        assert (await house.ask("GET", "/api/runs", key["token"])).status == 401
    when = (await house.ask("GET", f"/api/businesses/{business_id}/keys")).data["data"][0]["revoked_at"]
    assert when is not None
    assert (await house.ask("DELETE", f"/api/keys/{key['key_id'] + 1}")).status == 404
    assert [action for (action,) in await audited(house, "action")] == [
        "create_business",
        "create_key",
        "revoke_key",
    ]


async def test_what_a_key_is_called_and_may_do_is_checked(house: House) -> None:
    business_id = await house.business()
    for body in (
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "x", "role": "operator"},
        {"name": "x", "token": "y"},
    ):
        answer = await house.ask("POST", f"/api/businesses/{business_id}/keys", json=body)
        assert answer.status == 422, body
    assert await house.pool.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_what_the_operator_does_to_businesses_and_keys_is_on_record(house: House) -> None:
    business_id = await house.business(max_concurrent_calls=3, from_number="+15005550006")
    changes = {"max_concurrent_calls": 7, "from_number": None, "name": "Acme"}
    assert (await house.ask("PATCH", f"/api/businesses/{business_id}", json=changes)).status == 200
    assert (await house.ask("PATCH", f"/api/businesses/{business_id}", json=changes)).status == 200
    key = await new_key(house, business_id, role="read_only")
    await house.ask("DELETE", f"/api/keys/{key['key_id']}")
    rows = await audited(house, "actor", "action", "details", "business_id")
    assert {actor for actor, *_ in rows} == {"operator"}
    assert {business for *_, business in rows} == {business_id}
    told = [(action, json.loads(details)) for _, action, details, _ in rows]
    assert told == [
        ("create_business", {"name": "Acme", "max_concurrent_calls": 3}),
        # What was asked for and was so already is no change, and the second request changed nothing.
        (
            "change_business",
            {"max_concurrent_calls": {"from": 3, "to": 7}, "from_number": {"from": "+15005550006", "to": None}},
        ),
        ("create_key", {"key_id": key["key_id"], "name": "CRM", "role": "read_only"}),
        ("revoke_key", {"key_id": key["key_id"]}),
    ]


async def test_what_a_key_does_to_runs_is_on_record_under_its_id(house: House) -> None:
    business_id = await add_business(house.pool)
    key = await new_key(house, business_id)
    actor = f"key:{key['key_id']}"

    async def done(path: str, **body: Any) -> Any:
        answer = await house.ask("POST", path, key["token"], json=body)
        assert answer.status < 300, answer.text
        return answer.data

    leads = [{"phone": "+12125550100"}, {"phone": "+12125550101"}]
    run = (await done("/api/runs", leads=leads, twiml=TWIML))["run_id"]
    await done(f"/api/runs/{run}/pause", reason="lunch")
    await done(f"/api/runs/{run}/resume")
    await done(f"/api/runs/{run}/cancel", reason="wrong list")
    again = (await done(f"/api/runs/{run}/retry", only=["not_dialed"]))["run_id"]
    await done("/api/outbound/stop-queue", run_id=again)
    # What ends nothing any more leaves no trace.
    await done(f"/api/runs/{run}/cancel")
    third = await add_run(house.pool, business_id, 1)
    await done(f"/api/runs/{third.run_id}/force-cancel")
    stale = await add_run(house.pool, business_id, 1)
    worker = await Worker.join(house.pool)
    await worker.claim()
    await house.pool.execute(
        "UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '1 minute' WHERE status = 'running'"
    )
    assert (await done("/api/outbound/cleanup-stuck-jobs"))["runs"] == [stale.run_id]
    rows = [row for row in await audited(house, "actor", "action", "run_id", "reason") if row[1] != "create_key"]
    assert rows == [
        (actor, "start", run, None),
        (actor, "pause", run, "lunch"),
        (actor, "resume", run, None),
        (actor, "cancel", run, "wrong list"),
        (actor, "retry", run, None),
        (actor, "start", again, None),
        (actor, "stop", again, None),
        (actor, "force_cancel", third.run_id, None),
        (actor, "stale", stale.run_id, None),
    ]


async def test_that_live_calls_are_to_be_ended_is_on_record(
    open_house: Any, database: str, redis_url: str
) -> None:
    house = await (await open_house(database, redis_url, TWILIO_ACCOUNT_SID="AC" + "1" * 32)).ready()
    (attempt,) = await house.attempts()
    run_id = await house.pool.fetchval("SELECT run_id FROM outbound_call_attempts WHERE id = $1", attempt)
    answer = await house.ask("POST", f"/api/runs/{run_id}/force-cancel", json={"hangup": True})
    assert answer.status == 200
    last = (await audited(house, "actor", "action", "details"))[-1]
    assert last[:2] == ("operator", "force_cancel")
    assert json.loads(last[2])["hangup"] is True


async def test_two_changes_at_once_both_count_and_are_told_as_they_came(house: House) -> None:
    business_id = await house.business(max_concurrent_calls=3)
    async with house.pool.acquire() as other, other.transaction():
        await other.execute(
            "UPDATE businesses SET name = 'renamed', max_concurrent_calls = 5 WHERE id = $1", business_id
        )
        changing = asyncio.create_task(
            house.ask("PATCH", f"/api/businesses/{business_id}", json={"max_concurrent_calls": 9})
        )
        waiting = """SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'"""
        await eventually(lambda: house.pool.fetchval(waiting))
    changed = (await changing).data
    assert (changed["name"], changed["max_concurrent_calls"]) == ("renamed", 9)
    (*_, last) = await audited(house, "action", "details")
    assert (last[0], json.loads(last[1])) == ("change_business", {"max_concurrent_calls": {"from": 5, "to": 9}})
