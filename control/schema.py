"""The schema: applied or waited for. Until it is there only the probes are answered."""

import asyncio

import asyncpg

from control.database import Database
from dialer.config import Settings
from dialer.telemetry import logger
from sql import migrate

LOOK_EVERY_SECONDS = 1.0


class Schema:
    """`current` from the moment on when the schema is at least the one this program needs."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.current = False
        self.task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Bring it in the background."""
        self.task = asyncio.create_task(self.bring(), name="schema")
        return self.task

    async def bring(self) -> None:
        """Apply the migrations if this process is to, wait for the schema in any case.

        Raises sql.migrate.MigrationRefused or MigrationFailed: a person must look.
        """
        if self._settings.run_migrations:
            await self._apply()
        await migrate.wait_until_current(self._database.connection, poll_seconds=LOOK_EVERY_SECONDS)
        self.current = True

    async def look(self) -> bool:
        """Whether it is current now. Raises what asyncpg raises when the database is away."""
        async with self._database.connection() as connection:
            found = await migrate.is_current(connection)
        # Whoever hears "ready" from a probe may ask at once: what it saw counts from now on.
        self.current = self.current or found
        return found

    async def _apply(self) -> None:
        settings = self._settings
        url = settings.migration_database_url or settings.database_url
        assert url is not None  # noqa: S101 - `load(require=...)` has seen to it
        while True:
            try:
                await migrate.migrate(
                    url.get_secret_value(),
                    lock_wait_seconds=settings.migration_lock_wait_seconds,
                    statement_timeout=settings.migration_statement_timeout,
                )
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                logger().warning("DATABASE_WAIT", error=type(error).__name__)
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            else:
                return
