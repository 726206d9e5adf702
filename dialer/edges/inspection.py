"""Postgres, as a person looks at it: `dialer doctor` and `dialer slots`. Nothing here writes."""

from dataclasses import dataclass
from typing import Self

import asyncpg

from dialer.edges.pool import AWAY, CONNECT_WITHIN_SECONDS, PREPARED
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from sql.migrate import current_version, required_version


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """How PostgreSQL is set up. `connections`: how many it gives to ordinary users; `connected`: how many it has."""

    version: str
    major: int
    read_only: bool
    fsync: bool
    connections: int
    connected: int


@dataclass(frozen=True, slots=True)
class LivingDaemon:
    """One that was seen lately."""

    host: str
    pid: int
    redis_degraded: bool
    draining: bool


@dataclass(frozen=True, slots=True)
class Work:
    """How the work goes on; ages in seconds, None where there is nothing. `stale_runs`: the first of them."""

    live_attempts: int
    oldest_waiting_seconds: float | None
    unknown_attempts: int
    oldest_unknown_seconds: float | None
    stale_runs: tuple[int, ...]
    last_errors: tuple[str, ...]


class Inspection(Store):
    """The store, and what dialing itself never asks. Every method raises DatabaseAway."""

    @classmethod
    async def connect(cls, dsn: str, connections: int = 1, *, prepared: int = PREPARED) -> Self:
        """Open it. Raises DatabaseAway, with the name of the error: also when Postgres lets nobody in."""
        try:
            return await super().connect(dsn, connections, prepared=prepared)
        except asyncpg.PostgresError as error:
            raise DatabaseAway(type(error).__name__) from error

    async def server(self) -> ServerFacts:
        """How PostgreSQL is set up."""
        (row,) = await self._rows("server_facts")
        return ServerFacts(**row)

    async def clock(self) -> float:
        """Its clock: seconds since 1970."""
        return float(await self._value("database_clock"))

    async def schema(self) -> tuple[int, int]:
        """The version of the schema, and the one that this program needs."""
        try:
            async with self._lender.connection(CONNECT_WITHIN_SECONDS) as connection:
                return await current_version(connection), required_version()
        except (*AWAY, asyncpg.PostgresError) as error:
            raise DatabaseAway(f"schema: {type(error).__name__}") from error

    async def daemons(self, within_seconds: float) -> list[LivingDaemon]:
        """Those that were seen lately."""
        rows = await self._rows("daemons_alive", within_seconds, None)
        return [LivingDaemon(r["host"], r["pid"], r["redis_degraded"], r["draining"]) for r in rows]

    async def work(self, stale_after_seconds: float) -> Work:
        """How the work goes on."""
        (figures,) = await self._rows("health_figures", None, stale_after_seconds)
        (row,) = await self._rows("work_figures", stale_after_seconds)
        return Work(
            row["live_attempts"],
            figures["oldest_waiting_job_seconds"],
            figures["unknown_attempts"],
            row["oldest_unknown_seconds"],
            tuple(row["stale_runs"]),
            tuple(row["last_errors"]),
        )

    async def numbers_in_use(self, most: int) -> dict[str, str]:
        """Caller ID -> who uses it, such as "business 4"."""
        return {r["from_number"]: r["owner"] for r in await self._rows("numbers_in_use", most)}

    async def businesses_at_work(self) -> set[int]:
        """Businesses with attempts that may have a call."""
        return {r["business_id"] for r in await self._rows("businesses_at_work")}
