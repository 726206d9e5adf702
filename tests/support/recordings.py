"""Recordings, made with SQL: answered calls of runs that record."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import sql
from tests.support.runs import FROM, TWIML, add_business

ACCOUNT = "AC" + "0123456789abcdef" * 2


def sid(kind: str) -> str:
    """A SID of the carrier's kind: `CA` of a call, `RE` of a recording."""
    return kind + uuid4().hex


async def add_recording_run(db: Any, business: int, *, record: bool = True) -> int:
    """A run that records, with no job yet."""
    run: int = await db.fetchval(
        "INSERT INTO outbound_call_runs (business_id, concurrency) VALUES ($1, 1) RETURNING id", business
    )
    await db.execute(
        """INSERT INTO outbound_call_run_settings
           (run_id, business_id, from_number, twiml, record, ring_timeout_seconds, call_time_limit_seconds)
           VALUES ($1, $2, $3, $4, $5, 30, 600)""",
        run,
        business,
        FROM,
        TWIML,
        record,
    )
    # `add_attempt` adds jobs in the middle of their call; with more in progress than it adds the run never ends.
    await db.execute(
        "INSERT INTO outbound_call_run_counters (run_id, business_id, in_progress) VALUES ($1, $2, 1000)",
        run,
        business,
    )
    return run


async def add_attempt(db: Any, run: int, *, slot: int = 1) -> UUID:
    """An attempt whose call is being placed."""
    attempt = uuid4()
    await db.execute(
        """WITH r AS (SELECT id, business_id FROM outbound_call_runs WHERE id = $1),
                j AS (INSERT INTO outbound_call_jobs
                          (run_id, business_id, position, phone, status, dial_lock_token, dial_started_at)
                      SELECT id, business_id, (random() * 1e9)::integer, '+12125550100', 'dialing', $2, now() FROM r
                      RETURNING id, run_id, business_id)
           INSERT INTO outbound_call_attempts
               (id, job_id, run_id, business_id, lease_epoch, slot, account_sid, from_number, to_number,
                ring_timeout_seconds, call_time_limit_seconds)
           SELECT $2, j.id, j.run_id, j.business_id, 1, $3, $4, '+15005550006', '+12125550100', 30, 600 FROM j""",
        run,
        attempt,
        slot,
        ACCOUNT,
    )
    return attempt


async def end_call(db: Any, attempt: UUID, call_sid: str, status: str = "completed") -> None:
    """The carrier says that its call has ended."""
    await db.execute(
        sql.query("take_carrier_event"), attempt, call_sid, "callback", None, status, None, 1, None, None, None
    )


async def announce(db: Any, attempt: UUID, call_sid: str, recording_sid: str | None, status: str) -> Any:
    """The carrier tells of a recording."""
    return await db.fetchrow(sql.query("take_recording"), attempt, call_sid, recording_sid, status, 7, 1)


async def add_recordings(db: Any, business: int, count: int) -> list[str]:
    """So many recordings of a business that can be fetched now; their call SIDs."""
    run = await add_recording_run(db, business)
    calls = []
    for _ in range(count):
        attempt, call = await add_attempt(db, run), sid("CA")
        await end_call(db, attempt, call)
        await announce(db, attempt, call, sid("RE"), "completed")
        calls.append(call)
    return calls


# -- as a daemon asks ------------------------------------------------------------------------------------

# Longer than any test; and shorter than the Postgres of the tests has been running.
LONG = 3600.0
LEASE = 0.001


async def claim(
    db: Any, worker: UUID, count: int = 50, limit: int = 3, lease: float = LONG, silent: float = 30.0
) -> list[Any]:
    return list(await db.fetch(sql.query("claim_recordings"), worker, count, limit, "mp3", lease, silent))


async def rows(db: Any) -> list[Any]:
    return list(await db.fetch("SELECT * FROM recording_runs ORDER BY id"))


async def recorded_call(db: Any) -> tuple[UUID, str]:
    run = await add_recording_run(db, await add_business(db))
    return await add_attempt(db, run), sid("CA")


async def renew(db: Any, worker: UUID, row: Any) -> list[int]:
    found = await db.fetch(sql.query("renew_recordings"), worker, [row["recording_id"]], [row["lease_epoch"]])
    return [r["recording_id"] for r in found]


async def complete(db: Any, row: Any, sha: str = "a" * 64) -> list[Any]:
    query = sql.query("complete_recording")
    return list(await db.fetch(query, row["recording_id"], row["lease_epoch"], 4711, sha, "audio/mpeg"))


async def release(db: Any, row: Any, delay: float = 0.0) -> list[Any]:
    known = row["recording_sid"]
    query = sql.query("release_recording")
    return list(
        await db.fetch(query, row["recording_id"], row["lease_epoch"], known, delay, True, "not_ready", "not yet")
    )


async def fail(db: Any, row: Any) -> list[Any]:
    query = sql.query("fail_recording")
    known = row["recording_sid"]
    return list(await db.fetch(query, row["recording_id"], row["lease_epoch"], known, "refused", "HTTP 403"))
