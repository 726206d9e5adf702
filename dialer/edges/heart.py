"""The connection that beats: one of its own, so that a busy pool never costs a lease."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

import sql
from dialer.edges.pool import AWAY, PREPARED
from dialer.errors import DatabaseAway


@dataclass(frozen=True, slots=True)
class Beat:
    """(Run, epoch) -> verdict of one beat: `beaten`, `skipped` (locked by somebody, not lost) or `lost`."""

    verdicts: Mapping[tuple[int, int], str]


class Heart:
    """One dedicated connection, opened again whenever it is lost."""

    def __init__(self, dsn: str, worker: UUID, timeout_seconds: float, *, prepared: int = PREPARED) -> None:
        self._dsn = dsn
        self._worker = worker
        self._timeout = timeout_seconds
        self._prepared = prepared
        self._connection: Any = None

    async def beat(self, epochs: Mapping[int, int], redis_degraded: bool) -> Beat:
        """Prolong these leases (run -> epoch) in one statement. Raises DatabaseAway."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(
                    self._dsn,
                    timeout=self._timeout,
                    command_timeout=self._timeout,
                    statement_cache_size=self._prepared,
                )
            rows = await self._connection.fetch(
                sql.query("beat"), self._worker, list(epochs), list(epochs.values()), redis_degraded
            )
        except (*AWAY, asyncpg.PostgresError) as error:
            self.drop()
            raise DatabaseAway(f"beat: {type(error).__name__}") from error
        verdicts = dict.fromkeys(epochs.items(), "beaten")
        verdicts.update({(r["run_id"], r["lease_epoch"]): r["verdict"] for r in rows})
        return Beat(verdicts)

    async def show_tally(self, snapshot: Mapping[str, Any], within_seconds: float) -> bool:
        """Put what this daemon has counted into its row, if the last beat left a connection. Raises DatabaseAway.

        True when it is asked to drain.
        """
        return bool(await self._tell("show_tally", snapshot, within_seconds))

    async def show_last_tally(self, snapshot: Mapping[str, Any], within_seconds: float) -> None:
        """The same, and that this process is about to end. Raises DatabaseAway."""
        await self._tell("show_last_tally", snapshot, within_seconds)

    async def _tell(self, name: str, snapshot: Mapping[str, Any], within_seconds: float) -> Any:
        if self._connection is None:
            return None
        try:
            return await self._connection.fetchval(
                sql.query(name), self._worker, json.dumps(snapshot), timeout=within_seconds
            )
        except (*AWAY, asyncpg.PostgresError) as error:
            self.drop()
            raise DatabaseAway(f"{name}: {type(error).__name__}") from error

    def drop(self) -> None:
        """Forget the connection without a word: whoever waits on a dead one beats too late."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Close politely."""
        if self._connection is not None:
            try:
                async with asyncio.timeout(1.0):
                    await self._connection.close()
            except AWAY:
                self._connection.terminate()
            self._connection = None


async def seconds_since_beat(dsn: str, host: str, within_seconds: float) -> float | None:
    """Since the last beat of a daemon on this host, asked by another process; None: none has begun to beat.

    Raises DatabaseAway; also while the schema is not there, which daemons wait for as well.
    """
    try:
        connection = await asyncpg.connect(
            dsn, timeout=within_seconds, command_timeout=within_seconds, statement_cache_size=0
        )
        try:
            seconds: float | None = await connection.fetchval(sql.query("daemon_of_host"), host)
        finally:
            connection.terminate()
    except (*AWAY, asyncpg.PostgresError) as error:
        raise DatabaseAway(f"daemon_of_host: {type(error).__name__}") from error
    return seconds
