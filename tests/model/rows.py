"""What Postgres holds at one moment, as the invariants look at it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

ENDED = ("completed", "stopped", "cancelled", "failed")


@dataclass(frozen=True)
class Rows:
    """The rows of the tables that matter, by their keys."""

    limits: dict[int, int]
    runs: dict[int, Any]
    jobs: dict[int, Any]
    attempts: dict[UUID, Any]
    counters: dict[int, Any]

    def live(self) -> dict[UUID, Any]:
        """Attempts that may have a call."""
        return {i: a for i, a in self.attempts.items() if a["ended_at"] is None}

    def live_by_business(self) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        for attempt in self.live().values():
            found[attempt["business_id"]].append(attempt)
        return found

    def jobs_of(self, run: int) -> list[Any]:
        return [j for j in self.jobs.values() if j["run_id"] == run]

    def open_runs(self) -> list[int]:
        return [i for i, r in self.runs.items() if r["status"] not in ENDED]


_READ = """
SELECT (SELECT jsonb_agg(t ORDER BY id) FROM businesses t), (SELECT jsonb_agg(t ORDER BY id) FROM outbound_call_runs t),
       (SELECT jsonb_agg(t ORDER BY id) FROM outbound_call_jobs t),
       (SELECT jsonb_agg(t ORDER BY id) FROM outbound_call_attempts t),
       (SELECT jsonb_agg(t ORDER BY run_id) FROM outbound_call_run_counters t)
"""


async def read(db: Any) -> Rows:
    """Read them now, in one statement. Moments are as JSON has them."""
    found = [json.loads(text or "[]") for text in await db.fetchrow(_READ)]
    businesses, runs, jobs, attempts, counters = found
    return Rows(
        {r["id"]: r["max_concurrent_calls"] for r in businesses},
        {r["id"]: r for r in runs},
        {r["id"]: r for r in jobs},
        {UUID(r["id"]): r for r in attempts},
        {r["run_id"]: r for r in counters},
    )


async def live_ids(db: Any) -> set[str]:
    """The attempts that may have a call, now."""
    return {str(r["id"]) for r in await db.fetch("SELECT id FROM outbound_call_attempts WHERE ended_at IS NULL")}


# When a call was last heard of is no state: the same said once more is heard of later.
_HEARD = ("last_news_at", "looks", "next_look_at")


async def dump(db: Any) -> dict[str, str]:
    """Every table as text, but for the daemons' own (they beat)."""
    tables = [
        r["tablename"]
        for r in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        if r["tablename"] != "dialer_daemons"
    ]
    all_of_them = ", ".join(
        f"(SELECT coalesce(jsonb_agg(to_jsonb(t) - $1::text[] ORDER BY t::text), '[]')::text FROM {table} t) AS {table}"
        for table in tables
    )
    return dict(await db.fetchrow(f"SELECT {all_of_them}", list(_HEARD)))
