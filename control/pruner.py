"""Forgets what nobody will ask for any more: old events, orphans, keys, daemons and audit rows, batch by batch."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from control.database import Database
from dialer.config import Settings
from dialer.telemetry import logger

# Some 20 ms, and a rest after each: callbacks must not notice.
BATCH = 1_000
REST_SECONDS = 0.05
# As promised to whoever sends an Idempotency-Key, and as recall_answer has it.
KEYS_KEEP_DAYS = 1.0


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days what is kept."""

    events: float
    audit: float
    daemons: float

    @classmethod
    def of(cls, settings: Settings) -> "Keep":
        return cls(settings.events_keep_days, settings.audit_keep_days, settings.daemons_keep_days)


class Pruner:
    """One `prune` forgets all there is to forget. Several controls may at once, and may die at any point."""

    def __init__(self, database: Database, keep: Keep, *, batch: int = BATCH, rest_seconds: float = REST_SECONDS):
        self._database = database
        self._keep = keep
        self._batch = batch
        self._rest_seconds = rest_seconds

    async def prune(self) -> None:
        """Raises DatabaseAway; the rest is pruned next time, by whomever."""
        keep = self._keep
        await self._told("outbound_call_events", self._events)
        await self._told("orphan_callbacks", lambda: self._oldest("prune_orphans", keep.events))
        await self._told("audit_log", lambda: self._oldest("prune_audit_log", keep.audit))
        await self._told("idempotency_keys", lambda: self._oldest("prune_idempotency_keys", KEYS_KEEP_DAYS))
        await self._told("dialer_daemons", lambda: self._oldest("prune_daemons", keep.daemons))

    async def _told(self, table: str, prune: Callable[[], Awaitable[int]]) -> None:
        rows = await prune()
        if rows:
            logger().info("PRUNED", table=table, rows=rows)

    async def _events(self) -> int:
        total, after, may_be_more = 0, 0, True
        while may_be_more:
            [done] = await self._database.rows("prune_events", after, self._keep.events, self._batch)
            total += done["pruned"]
            after, may_be_more = done["last_id"], done["may_be_more"]
            await self._rest(may_be_more)
        return total

    async def _oldest(self, statement: str, days: float) -> int:
        total, may_be_more = 0, True
        while may_be_more:
            [done] = await self._database.rows(statement, days, self._batch)
            total += done["pruned"]
            may_be_more = done["pruned"] == self._batch
            await self._rest(may_be_more)
        return total

    async def _rest(self, may_be_more: bool) -> None:
        if may_be_more:
            await asyncio.sleep(self._rest_seconds)
