"""Named statements over a pool of connections to Postgres: what every store of the daemon is built on."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import asyncpg

import sql
from dialer.errors import DatabaseAway, DatabaseRefused
from dialer.lender import KEEP, Lender
from dialer.telemetry import logger
from sql.migrate import wait_until_current

CONNECT_WITHIN_SECONDS = 2.0
CLOSE_WITHIN_SECONDS = 0.5
COMMAND_TIMEOUT_SECONDS = 5.0
PREPARED = 100

AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # shut down, restarted, cancelled by a time-out
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock's victim: nothing was written, another try will do
    asyncpg.InvalidCatalogNameError,
)

log = logger()


class Statements:
    """Open with `connect`, close with `close`. Every statement raises DatabaseAway when Postgres did not answer."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, keep: int = KEEP) -> None:
        """`keep`: connections at hand at most; 0 where the pool is somebody else's."""
        self._pool = pool
        self._lender = Lender(pool, keep=keep)

    @classmethod
    async def connect(cls, dsn: str, connections: int = 10, *, prepared: int = PREPARED) -> Self:
        """Open a pool of so many connections at most, each with so many statements prepared. Raises DatabaseAway."""
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=connections,
                timeout=CONNECT_WITHIN_SECONDS,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                statement_cache_size=prepared,
                reset=_keep,
            )
        except AWAY as error:
            raise DatabaseAway(type(error).__name__) from error
        return cls(pool)

    async def wait_for_schema(self, poll_seconds: float) -> None:
        """Wait until the schema is at least the one that these statements need."""
        await wait_until_current(
            lambda: self._lender.connection(CONNECT_WITHIN_SECONDS), poll_seconds=poll_seconds
        )

    async def warm(self, *statements: Sequence[Any]) -> None:
        """Open the connections that are kept at hand and run these on each: names with arguments that do nothing.

        Raises DatabaseAway.
        """

        async def run(connection: Any) -> None:
            for name, *arguments in statements:
                await connection.fetch(sql.query(name), *arguments)

        try:
            await self._lender.warm(run, CONNECT_WITHIN_SECONDS)
        except (*AWAY, asyncpg.PostgresError) as error:
            raise DatabaseAway(f"warm: {type(error).__name__}") from error

    def terminate(self) -> None:
        """Cut every connection, now: whoever waits on one hears that the database is away."""
        self._pool.terminate()

    async def close(self) -> None:
        """Give the connections back; cut those that do not come back in time."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN_SECONDS):
                await self._lender.close()
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _rows(self, name: str, *args: Any) -> list[asyncpg.Record]:
        lent = False
        try:
            # It also bounds the return of a connection: a dead server never confirms that a statement is cancelled.
            async with self._lender.connection(CONNECT_WITHIN_SECONDS) as connection:
                lent = True
                rows: list[asyncpg.Record] = await connection.fetch(sql.query(name), *args)
        except asyncpg.PostgresError as error:
            if isinstance(error, AWAY):
                raise DatabaseAway(f"{name}: {type(error).__name__}") from error
            # Read-only after a fail-over, a lock not had in time, or a defect: nothing was written, and whoever
            # asked goes on as if the database were away. It must be seen.
            log.warning("DATABASE_REFUSED", statement=name, error=type(error).__name__, message=error.args[:1])
            raise DatabaseRefused(f"{name}: {type(error).__name__}") from error
        except AWAY as error:
            if lent and isinstance(error, TimeoutError):
                # After a fail-over all are dead and none says so: each would cost one such wait. But when none was
                # free in time it is the crowd: new connections, one a statement, would only make it larger.
                await self._lender.replace_all()
            raise DatabaseAway(f"{name}: {type(error).__name__}") from error
        return rows

    async def _value(self, name: str, *args: Any) -> Any:
        rows = await self._rows(name, *args)
        return rows[0][0] if rows else None


async def _keep(_connection: Any) -> None:
    """Nothing is ever set on a session: the pool's usual reset would cost a round trip a statement."""
