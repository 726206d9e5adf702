"""What runs for every call, every beat and every look touches as little of large tables as of small ones.

Not how long it takes is looked at, which is the machine's, but how many pages of memory it goes through, inside of
functions too; planned with the arguments and without them, before the server has ever analyzed the tables and after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

import sql
from tests.support.runs import Worker, add_business, add_run, event

JOBS, ENDED_RUNS = 30_000, 3_000
# Whoever goes through the attempts or the jobs reads a thousand pages, through the runs a hundred and more.
MOST_PAGES = 90
# A write of a call goes through a dozen indexes of six tables, each of two levels.
MOST_PAGES_OF_A_CALL = 250
ACCOUNT = "AC" + "0" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)

Asked = tuple[str, int, Sequence[object]]


@dataclass(frozen=True)
class Crowd:
    """`run` has JOBS finished with a call each, and as many queued; `intents` are new, `live` is a call."""

    business: int
    run: int
    worker: Worker
    intents: tuple[UUID, ...]
    live: UUID


async def make_crowd(db: Any) -> Crowd:
    business = await add_business(db, limit=50)
    await db.execute(
        """WITH runs AS (
               INSERT INTO outbound_call_runs (business_id, concurrency, status, ended_at)
               SELECT $1, 1, 'completed', now() FROM generate_series(1, $2::integer) RETURNING id
           ), settings AS (
               INSERT INTO outbound_call_run_settings
                   (run_id, business_id, from_number, twiml, ring_timeout_seconds, call_time_limit_seconds)
               SELECT id, $1, '+15005550006', '<Response/>', 30, 600 FROM runs
           )
           INSERT INTO outbound_call_run_counters (run_id, business_id) SELECT id, $1 FROM runs""",
        *(business, ENDED_RUNS),
    )
    run = (await add_run(db, business, 0)).run_id
    worker = await Worker.join(db)
    await worker.claim()
    await _jobs_with_calls(db, business, run)
    await db.execute(
        """INSERT INTO outbound_call_jobs (run_id, business_id, position, phone)
           SELECT $1, $2, $3::integer + n, '+1' || (2000000000 + n) FROM generate_series(1, $3::integer) AS n""",
        *(run, business, JOBS),
    )
    new = [row["attempt_id"] for row in await worker.intend(run, [1, 2, 3], after=JOBS)]
    await event(db, new[0], "in-progress", sid="CAlive", sequence=2)
    return Crowd(business, run, worker, tuple(new[1:]), new[0])


async def _jobs_with_calls(db: Any, business: int, run: int) -> None:
    """Without the triggers and the foreign keys: ten times as fast."""
    for table in ("jobs", "attempts", "events"):
        await db.execute(f"ALTER TABLE outbound_call_{table} DISABLE TRIGGER ALL")
    await db.execute(
        """WITH jobs AS (
               INSERT INTO outbound_call_jobs (run_id, business_id, position, phone, status, disposition, ended_at,
                                               dial_lock_token)
               SELECT $1, $2, n, '+1' || (2000000000 + n), 'completed', 'answered', now(), gen_random_uuid()
               FROM generate_series(1, $3::integer) AS n RETURNING id, phone, dial_lock_token
           ), attempts AS (
               INSERT INTO outbound_call_attempts (id, job_id, run_id, business_id, lease_epoch, slot, state,
                   disposition, call_sid, sid_source, carrier_rank, account_sid, from_number, to_number,
                   ring_timeout_seconds, call_time_limit_seconds, requested_at, ended_at)
               SELECT dial_lock_token, id, $1, $2, 1, 1, 'ended', 'answered', 'CA' || id, 'callback', 9, $4,
                      '+15005550006', phone, 30, 600, now(), now() FROM jobs RETURNING id, call_sid
           )
           INSERT INTO outbound_call_events (attempt_id, business_id, call_sid, sequence, status, source)
           SELECT id, $2, call_sid, n, 'completed', 'callback' FROM attempts, generate_series(0, 1) AS n""",
        *(run, business, JOBS, ACCOUNT),
    )
    for table in ("jobs", "attempts", "events"):
        await db.execute(f"ALTER TABLE outbound_call_{table} ENABLE TRIGGER ALL")


def hot(crowd: Crowd) -> list[Asked]:
    """Every statement that is run for a call, a beat or a look, with how many pages it may touch."""
    intent, other = crowd.intents
    epoch = crowd.worker.epochs[crowd.run]
    look, call = MOST_PAGES, MOST_PAGES_OF_A_CALL

    return [
        ("claim_runs", look, (uuid4(), 6.0, 300.0, 0, None)),
        ("adopt_attempts", look, ([crowd.run], [epoch])),
        ("beat", look, (crowd.worker.id, [crowd.run], [epoch], False)),
        ("show_tally", look, (crowd.worker.id, "{}")),
        ("live_daemons", look, (6.0,)),
        ("run_states", look, ([crowd.run],)),
        ("write_intents", call, (crowd.run, crowd.worker.id, epoch, JOBS, [uuid4()], [9], ACCOUNT)),
        # A daemon that was restarted looks from the list's beginning, before all that is over.
        ("write_intents", call, (crowd.run, crowd.worker.id, epoch, -1, [uuid4()], [9], ACCOUNT)),
        ("attempts_written", look, ([intent],)),
        ("free_slots", 150, (crowd.business, 1)),
        ("next_jobs", look, (crowd.run, -1, 100)),
        ("live_attempts", look, ([crowd.business],)),
        ("queued_left", look, ([crowd.run],)),
        ("take_carrier_event", call, (intent, "CAnew", "answer", None, "queued", None, None, None, None, None)),
        (
            "take_carrier_event",
            call,
            (crowd.live, "CAlive", "callback", 3, "completed", NOW, 3, "human", None, None),
        ),
        (
            "take_plain_events",
            call,
            ([crowd.live], ["CAlive"], ["callback"], [3], ["completed"], [NOW], [3], [None], [None], [None]),
        ),
        ("return_attempt", call, (intent, 0.0, None, "test")),
        ("refuse_attempt", call, (intent, "busy", None, "test")),
        ("doubt_attempt", look, (intent, None, "test")),
        ("end_unknown", call, (other, NOW)),
        ("take_silent_attempts", look, (30.0, 100, 60.0, 300.0)),
        ("take_unknown_attempts", look, (0.0, 100, 60.0, 300.0)),
        ("owned_sids", look, (["CA1", "CA2"],)),
        ("runs_to_sweep", look, (10,)),
        ("mark_swept", look, (crowd.run,)),
        ("stale_runs", look, (30.0, None)),
        ("take_due_hangups", look, (None, 5.0)),
        ("claim_recordings", call, (crowd.worker.id, 50, 3, "mp3", 30.0, 30.0)),
        ("renew_recordings", look, (crowd.worker.id, [1], [1])),
        ("daemons_alive", look, (6.0, None)),
        ("health_figures", look, (None, 30.0)),
        ("gauges", look, (30.0, 6.0, 60.0)),
        ("tallies", look, (60.0, 100, 6.0)),
        ("find_api_key", look, (b"x",)),
        ("show_business", look, (crowd.business,)),
        ("recall_answer", look, (crowd.business, "key")),
        ("insert_run", call, (crowd.business, 1, None, "+1", "<Response/>", None, False, False, 30, 600, "test")),
    ]


async def test_nothing_hot_goes_through_a_table(pool: Any) -> None:
    crowd = await make_crowd(pool)
    asked = hot(crowd)
    found = {f"{name}, before ANALYZE": n for name, n in await _above(pool, asked)}
    await pool.execute("VACUUM ANALYZE")
    found |= {f"{name}, after ANALYZE": n for name, n in await _above(pool, asked)}
    assert found == {}


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_an_intent_planned_before_the_lists_came_goes_through_none_of_them(
    pool: Any, is_analyzed: bool
) -> None:
    """A daemon's connection plans it once, when it is new: often among empty tables, or small ones."""
    business = await add_business(pool, limit=50)
    first, later = [(await add_run(pool, business, 20)).run_id for _ in range(2)]
    worker = await Worker.join(pool)
    await worker.claim()
    if is_analyzed:
        await pool.execute("ANALYZE")
    async with pool.acquire() as db:
        asked = first, worker.id, worker.epochs[first], 0, [uuid4()], [1], ACCOUNT
        await db.fetch(sql.query("write_intents"), *asked)
        await db.execute(
            """INSERT INTO outbound_call_jobs (run_id, business_id, position, phone)
               SELECT $1, $2, 100 + n, '+1' || (2000000000 + n) FROM generate_series(1, $3::integer) AS n""",
            *(later, business, JOBS),
        )
        asked = later, worker.id, worker.epochs[later], 0, [uuid4()], [2], ACCOUNT
        assert await _pages(db, "write_intents", asked) <= MOST_PAGES_OF_A_CALL


async def _above(pool: Any, asked: list[Asked]) -> list[tuple[str, int]]:
    above = []
    async with pool.acquire() as db:
        for plans in ("force_custom_plan", "force_generic_plan"):
            await db.execute(f"SET plan_cache_mode = {plans}")
            for name, most, arguments in asked:
                pages = await _pages(db, name, arguments)
                if pages > most:
                    above.append((f"{name}, {plans}", pages))
        await db.execute("RESET plan_cache_mode")
    return above


async def _pages(db: Any, name: str, arguments: Sequence[object]) -> int:
    """Pages of memory that a statement touches, the second time: at the first the catalogs are read too."""
    values = ", ".join(map(_literal, arguments))
    await db.execute(f"PREPARE asked AS {sql.query(name)}")
    try:
        for _ in range(2):
            undone = db.transaction()
            await undone.start()
            text = await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({values})")
            await undone.rollback()
    finally:
        await db.execute("DEALLOCATE asked")
    plan = json.loads(text)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _literal(argument: object) -> str:
    if argument is None:
        return "NULL"
    if isinstance(argument, bytes):
        return f"'\\x{argument.hex()}'"
    if isinstance(argument, bool | int | float):
        return str(argument)
    if isinstance(argument, list):
        return "'{" + ",".join("NULL" if a is None else str(a) for a in argument) + "}'"
    return f"'{argument}'"
