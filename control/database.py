"""Postgres, by named statements. What is away is DatabaseAway; nothing needs session state (PgBouncer)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg

import sql
from dialer.errors import DatabaseAway, TryAgainLater
from dialer.lender import Lender, NoneFree

CONNECT_WITHIN_SECONDS = 2.0
# A carrier waits five seconds for its callback to be taken: it must hear "not stored" before that.
ANSWER_WITHIN_SECONDS = 2.5
CLOSE_WITHIN_SECONDS = 2.0
MOST_CONNECTIONS = 12
PREPARED = 100

# asyncpg.Record. It comes without types; a row that may be missing is "Row | None", checked by whoever asks.
Row = Any

_AWAY = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # starting, shutting down, or our statement was cancelled
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,  # a replica, in the midst of a fail-over
    asyncpg.InternalClientError,  # comes out of a connection whose backend was killed
)


# Of these, those that tell of a connection which is of no use any more.
_BROKEN = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,
)


class Collided(TryAgainLater):
    """Another transaction was in the way (deadlock, serialization): nothing was written; do it again."""


# Failures of one statement that are none of the database: nothing was written, and what was asked was the reason.
REFUSED: tuple[type[Exception], ...] = (Collided, asyncpg.PostgresError)


class Statements:
    """Named statements over one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> list[Row]:
        found: list[Row] = await self._connection.fetch(sql.query(name), *arguments, timeout=timeout)
        return found

    async def row(self, name: str, *arguments: Any, timeout: float | None = None) -> Row | None:
        return await self._connection.fetchrow(sql.query(name), *arguments, timeout=timeout)

    async def copy(
        self, table: str, columns: Sequence[str], records: Iterable[tuple[Any, ...]], timeout: float
    ) -> None:
        await self._connection.copy_records_to_table(table, records=records, columns=columns, timeout=timeout)


class Database:
    """The pool. Opening it asks nothing of Postgres: a database that is away at start is found later."""

    def __init__(self, url: str, prepared: int = PREPARED) -> None:
        """`prepared`: how many statements each connection may have prepared."""
        self._url = url
        self._prepared = prepared
        self._pool: Any = None
        self._lender: Lender

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=MOST_CONNECTIONS,
            timeout=CONNECT_WITHIN_SECONDS,
            command_timeout=ANSWER_WITHIN_SECONDS,
            statement_cache_size=self._prepared,
            reset=_keep_as_it_is,
        )
        self._lender = Lender(self._pool)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN_SECONDS):
                await self._lender.close()
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def connection(self) -> AbstractAsyncContextManager[Any]:
        """A bare connection of the pool, for those who bring their own statements. Raises NoneFree."""
        return self._lender.connection(CONNECT_WITHIN_SECONDS)

    async def warm(self, statement: Sequence[Any]) -> None:
        """Open the connections that are kept at hand and run this on each: a name with arguments that do nothing.

        Raises DatabaseAway, whatever it was: a lock that somebody holds, or rights that are missing, too.
        """
        try:
            async with self._named_failures():
                await self._lender.warm(lambda one: Statements(one).rows(*statement), CONNECT_WITHIN_SECONDS)
        except (Collided, asyncpg.PostgresError) as error:
            raise DatabaseAway(f"warm: {type(error).__name__}") from error

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> list[Row]:
        """Run a named statement. Raises DatabaseAway or Collided."""
        async with self._named_failures(), self.connection() as connection:
            return await Statements(connection).rows(name, *arguments, timeout=timeout)

    async def row(self, name: str, *arguments: Any, timeout: float | None = None) -> Row | None:
        """Run a named statement and give its first row. Raises DatabaseAway or Collided."""
        async with self._named_failures(), self.connection() as connection:
            return await Statements(connection).row(name, *arguments, timeout=timeout)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        """All or nothing. Raises DatabaseAway, after which nobody knows whether it was committed, or Collided."""
        async with self._named_failures(), self.connection() as connection, connection.transaction():
            yield Statements(connection)

    @asynccontextmanager
    async def _named_failures(self) -> AsyncIterator[None]:
        try:
            yield
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
            raise Collided(type(error).__name__) from error
        except _AWAY as error:
            if isinstance(error, _BROKEN) and not isinstance(error, NoneFree):
                await self._replace_all()
            raise DatabaseAway(type(error).__name__) from error
        except asyncpg.InterfaceError as error:
            # "The connection is closed" is one; an argument of the wrong type is one too, and a defect.
            if isinstance(error, ValueError):
                raise
            await self._replace_all()
            raise DatabaseAway(type(error).__name__) from error

    async def _replace_all(self) -> None:
        """After a restart or a fail-over all connections are dead: each would cost one failure, or one long wait.

        Not when none was free in time. That is the crowd, and new connections would only make it larger.
        """
        await self._lender.replace_all()


async def _keep_as_it_is(connection: Any) -> None:
    """Nothing of ours changes a session, so there is nothing to reset, and a round trip to save."""
