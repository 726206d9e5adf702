"""What is old is forgotten, nothing else, a batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from control.database import Database
from control.pruner import KEYS_KEEP_DAYS, Keep, Pruner
from tests.control.house import TWIML, House, news, sid
from tests.support.runs import Worker, add_business, add_run, event
from tests.support.waiting import eventually

KEEP = Keep(events=90, audit=400, daemons=7)
TABLES = ("outbound_call_events", "orphan_callbacks", "audit_log", "idempotency_keys", "dialer_daemons")


class Listening(Database):
    """Notes what the pruner deletes at once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.batches: list[tuple[str, int]] = []

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        found = await super().rows(name, *arguments, timeout=timeout)
        self.batches += [(name, row["pruned"]) for row in found]
        return found


@pytest.fixture
async def db(database: str) -> AsyncIterator[Listening]:
    opened = Listening(database)
    await opened.open()
    yield opened
    await opened.close()


def pruner(db: Database, batch: int = 10) -> Pruner:
    return Pruner(db, KEEP, batch=batch, rest_seconds=0)


async def contents(pool: Any) -> dict[str, list[Any]]:
    return {
        table: [tuple(r) for r in await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")] for table in TABLES
    }


async def ended_attempts(pool: Any, count: int) -> list[UUID]:
    """Attempts whose calls have ended, two events each."""
    run = await add_run(pool, await add_business(pool, limit=count), count)
    worker = await Worker.join(pool)
    await worker.claim()
    attempts = [row["attempt_id"] for row in await worker.intend(run.run_id, list(range(1, count + 1)))]
    for attempt in attempts:
        call = sid()
        await event(pool, attempt, "ringing", sid=call, sequence=1)
        await event(pool, attempt, "completed", sid=call, sequence=2)
    return attempts


async def age(pool: Any, table: str, column: str, days: float, where: str = "true", *arguments: Any) -> None:
    await pool.execute(
        f"UPDATE {table} SET {column} = {column} - make_interval(secs => {days * 86400}) WHERE {where}", *arguments
    )


async def age_events(pool: Any, attempts: list[UUID], days: float) -> None:
    await age(pool, "outbound_call_events", "received_at", days, "attempt_id = ANY ($1)", attempts)
    await age(pool, "outbound_call_attempts", "ended_at", days, "id = ANY ($1)", attempts)


async def attempts_with_events(pool: Any) -> set[UUID]:
    rows = await pool.fetch("SELECT DISTINCT attempt_id FROM outbound_call_events")
    return {row["attempt_id"] for row in rows}


async def test_events_of_calls_that_ended_long_ago(pool: Any, db: Listening) -> None:
    old, young = await ended_attempts(pool, 7), await ended_attempts(pool, 3)
    await age_events(pool, old, 90.1)
    await age_events(pool, young, 89.9)
    await pruner(db, batch=3).prune()
    assert await attempts_with_events(pool) == set(young)
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_events") == 6
    assert await pool.fetchval("SELECT count(*) FROM outbound_call_attempts") == 10, "the attempts themselves stay"


async def test_events_of_a_call_that_has_not_ended_stay_however_old_they_are(pool: Any, db: Listening) -> None:
    """And do not keep the ones behind them from being pruned, though they fill whole batches."""
    run = await add_run(pool, await add_business(pool), 3)
    worker = await Worker.join(pool)
    await worker.claim()
    live = [row["attempt_id"] for row in await worker.intend(run.run_id, [1, 2, 3])]
    for attempt in live:
        await event(pool, attempt, "ringing", sid=sid(), sequence=1)
    old, fresh_end = await ended_attempts(pool, 2), await ended_attempts(pool, 1)
    await age(pool, "outbound_call_events", "received_at", 1000)
    await age(pool, "outbound_call_attempts", "ended_at", 1000, "id = ANY ($1)", old)
    await pruner(db, batch=2).prune()
    assert await attempts_with_events(pool) == {*live, *fresh_end}


async def test_everything_else_that_is_old(pool: Any, db: Listening) -> None:
    business = await add_business(pool)
    for days in (0.99, 1.01):
        await pool.execute(
            "INSERT INTO idempotency_keys VALUES ($1, $2, '', '{}', now() - make_interval(secs => $3 * 86400))",
            *(business, f"{days} days", days),
        )
    for days in (91, 89):
        await pool.execute(
            """INSERT INTO orphan_callbacks (attempt_id, call_sid, status, received_at)
               VALUES ($1, $2, 'ringing', now() - make_interval(days => $3))""",
            *(uuid4(), f"CA{days}", days),
        )
    for days in (401, 399):
        await pool.execute(
            """INSERT INTO audit_log (business_id, actor, action, at)
               VALUES ($1, $2, 'stop', now() - make_interval(days => $3))""",
            *(business, f"{days} days", days),
        )
    await pruner(db).prune()
    assert await pool.fetchval("SELECT array_agg(key) FROM idempotency_keys") == ["0.99 days"]
    assert await pool.fetchval("SELECT array_agg(call_sid) FROM orphan_callbacks") == ["CA89"]
    assert await pool.fetchval("SELECT array_agg(actor) FROM audit_log") == ["399 days"]


async def test_daemons_that_are_gone_and_hold_nothing(pool: Any, db: Listening) -> None:
    async def daemon(seen: float, ended: float | None = None) -> UUID:
        worker = await Worker.join(pool)
        await pool.execute(
            """UPDATE dialer_daemons SET last_seen_at = now() - make_interval(secs => $2 * 86400),
                      ended_at = now() - make_interval(secs => $3 * 86400) WHERE id = $1""",
            *(worker.id, seen, ended),
        )
        return worker.id

    await daemon(8, 8)
    await daemon(8)  # killed
    kept = {await daemon(6), await daemon(6, 6), await daemon(0)}
    holder = await Worker.join(pool)
    await add_run(pool, await add_business(pool), 1)
    assert await holder.claim()
    await age(pool, "dialer_daemons", "last_seen_at", 30, "id = $1", holder.id)
    await pruner(db).prune()
    assert {row["id"] for row in await pool.fetch("SELECT id FROM dialer_daemons")} == {*kept, holder.id}


async def test_again_changes_nothing_and_two_at_once_do_what_one_does(pool: Any, database: str) -> None:
    old, young = await ended_attempts(pool, 30), await ended_attempts(pool, 2)
    await age_events(pool, old, 91)
    one, other = Listening(database), Listening(database)
    await one.open()
    await other.open()
    try:
        await asyncio.gather(pruner(one).prune(), pruner(other).prune())
        assert await attempts_with_events(pool) == set(young)
        assert sum(rows for _, rows in one.batches + other.batches) == 60
        before = await contents(pool)
        await pruner(one).prune()
        assert await contents(pool) == before
    finally:
        await one.close()
        await other.close()


async def test_batches_are_bounded(pool: Any, db: Listening) -> None:
    business = await add_business(pool)
    await pool.execute(
        """INSERT INTO audit_log (business_id, actor, action, at)
           SELECT $1, 'x', 'start', now() - interval '2 years' FROM generate_series(1, 95)""",
        business,
    )
    await age_events(pool, await ended_attempts(pool, 12), 91)
    await pruner(db, batch=10).prune()
    assert max(rows for _, rows in db.batches) == 10
    assert [rows for name, rows in db.batches if name == "prune_audit_log"] == [10] * 9 + [5]
    assert [rows for name, rows in db.batches if name == "prune_events"] == [10, 10, 4]


async def test_a_key_that_is_used_anew_while_its_old_answer_is_pruned(house: House, db: Listening) -> None:
    body = {"business_id": await house.business(), "leads": [{"phone": "+972501234567"}], "twiml": TWIML}

    async def start() -> Any:
        return await house.ask("POST", "/api/runs", json=body, headers={"Idempotency-Key": "daily"})

    runs = [(await start()).data["run_id"]]
    for _ in range(5):
        await age(house.pool, "idempotency_keys", "created_at", KEYS_KEEP_DAYS)
        answer, _ = await asyncio.gather(start(), pruner(db).prune())
        assert answer.status == 201, answer.text
        assert (await start()).data == answer.data, "the new answer is kept, whoever came first"
        runs.append(answer.data["run_id"])
    assert len(set(runs)) == 6


async def test_control_prunes_by_itself(open_house: Any, database: str, redis_url: str, pool: Any) -> None:
    old, young = await ended_attempts(pool, 2), await ended_attempts(pool, 1)
    await age_events(pool, old, 2.1)
    await age_events(pool, young, 1.9)
    house = await (await open_house(database, redis_url, EVENTS_KEEP_DAYS="2")).ready()

    async def pruned() -> bool:
        return await attempts_with_events(pool) == set(young)

    await eventually(pruned)
    # The pruned call's job still tells how it ended; a late repeat of its callback changes nothing.
    job = await pool.fetchrow(
        "SELECT id, twilio_call_sid FROM outbound_call_jobs WHERE dial_lock_token = $1", old[0]
    )
    shown = (await house.ask("GET", f"/api/jobs/{job['id']}")).data
    assert (shown["disposition"], shown["attempts"][0]["state"], shown["attempts"][0]["events"]) == (
        *("answered", "ended"),
        [],
    )
    late = await house.call_status(old[0], news(job["twilio_call_sid"], 1, "ringing"))
    assert late.status == 204
    assert (await house.ask("GET", f"/api/jobs/{job['id']}")).data["status"] == "completed"
