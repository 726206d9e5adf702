"""Businesses and runs, made with SQL: for tests of what comes after `start`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import sql

TWIML = "<Response><Say>hello</Say></Response>"
FROM = "+15005550006"


@dataclass(frozen=True)
class Run:
    """A run with its jobs in order."""

    run_id: int
    business_id: int
    jobs: tuple[int, ...]


async def add_business(db: Any, limit: int = 3, name: str = "test") -> int:
    business: int = await db.fetchval(
        "INSERT INTO businesses (name, max_concurrent_calls) VALUES ($1, $2) RETURNING id", name, limit
    )
    return business


async def add_run(
    db: Any, business: int, phones: int | list[str], *, concurrency: int = 100, from_number: str = FROM
) -> Run:
    """A pending run; `phones` is a list, or how many numbers to make up (they are answered)."""
    numbers = phones if isinstance(phones, list) else [f"+1212555{i // 60:02d}{i % 60:02d}" for i in range(phones)]
    run: int = await db.fetchval(
        "INSERT INTO outbound_call_runs (business_id, concurrency) VALUES ($1, $2) RETURNING id",
        business,
        concurrency,
    )
    await db.execute(
        """INSERT INTO outbound_call_run_settings
           (run_id, business_id, from_number, twiml, ring_timeout_seconds, call_time_limit_seconds)
           VALUES ($1, $2, $3, $4, 30, 600)""",
        run,
        business,
        from_number,
        TWIML,
    )
    await db.execute("INSERT INTO outbound_call_run_counters (run_id, business_id) VALUES ($1, $2)", run, business)
    jobs = await db.fetch(
        """INSERT INTO outbound_call_jobs (run_id, business_id, position, phone, lead_id)
           SELECT $1, $2, n - 1, phone, 'lead-' || n FROM unnest($3::text[]) WITH ORDINALITY AS u (phone, n)
           RETURNING id""",
        run,
        business,
        numbers,
    )
    return Run(run, business, tuple(r["id"] for r in jobs))


@dataclass
class Worker:
    """A daemon as Postgres sees it: an id, and the epochs of the runs it claimed."""

    db: Any
    id: UUID
    epochs: dict[int, int]

    @classmethod
    async def join(cls, db: Any) -> Worker:
        worker = cls(db, uuid4(), {})
        await db.execute(sql.query("register_daemon"), worker.id, "test", 1)
        return worker

    async def claim(self, takeover: float = 6.0, resume: float = 300.0) -> list[Any]:
        rows = await self.db.fetch(sql.query("claim_runs"), self.id, takeover, resume, len(self.epochs), None)
        self.epochs.update({r["run_id"]: r["lease_epoch"] for r in rows})
        return list(rows)

    async def intend(self, run: int, slots: list[int], after: int = -1, epoch: int | None = None) -> list[Any]:
        """Write intents with fresh attempt ids; one row a slot."""
        ids = [uuid4() for _ in slots]
        rows = await self.db.fetch(
            sql.query("write_intents"), run, self.id, epoch or self.epochs[run], after, ids, slots, "AC" + "0" * 32
        )
        return list(rows)

    async def beat(self) -> dict[int, str]:
        rows = await self.db.fetch(
            sql.query("beat"), self.id, list(self.epochs), list(self.epochs.values()), False
        )
        return dict.fromkeys(self.epochs, "beaten") | {r["run_id"]: r["verdict"] for r in rows}


async def event(
    db: Any,
    attempt: UUID,
    status: str,
    *,
    sid: str = "CA1",
    sequence: int | None = None,
    source: str = "callback",
    duration: int | None = None,
) -> Any:
    """Take a carrier event in; the one row of the answer."""
    return await db.fetchrow(
        sql.query("take_carrier_event"), attempt, sid, source, sequence, status, None, duration, None, None, None
    )


async def counters(db: Any, run: int) -> dict[str, int]:
    """The stored counters of a run."""
    return dict(await db.fetchrow("SELECT * FROM outbound_call_run_counters WHERE run_id = $1", run))


async def assert_counters_match(db: Any, run: int) -> None:
    """The counters are what the rows are (I10)."""
    have = await counters(db, run)
    rows = await db.fetch(
        "SELECT status, disposition, count(*)::int AS n FROM outbound_call_jobs WHERE run_id = $1 GROUP BY 1, 2",
        run,
    )
    by_status: dict[str, int] = {}
    by_disposition: dict[str, int] = {}
    for r in rows:
        by_status[r["status"]] = by_status.get(r["status"], 0) + r["n"]
        if r["disposition"]:
            by_disposition[r["disposition"]] = by_disposition.get(r["disposition"], 0) + r["n"]
    assert have["queued"] == by_status.get("queued", 0)
    assert have["in_progress"] == by_status.get("dialing", 0) + by_status.get("calling", 0)
    for status in ("completed", "failed", "cancelled"):
        assert have[status] == by_status.get(status, 0), status
    for disposition, n in by_disposition.items():
        assert have["call_failed" if disposition == "failed" else disposition] == n, disposition
