"""What a daemon waits for before it begins: Postgres, and a schema that is new enough."""

import asyncio

from dialer.config import Settings, secret
from dialer.edges import schema
from dialer.edges.store import Store
from dialer.errors import DatabaseAway
from dialer.telemetry import logger

POLL_SECONDS = 1.0

log = logger()


async def connect(settings: Settings) -> Store:
    """Open the store, however long it takes."""
    away = False
    while True:
        try:
            url, prepared = secret(settings.database_url), settings.database_statement_cache_size
            return await Store.connect(url, prepared=prepared)
        except DatabaseAway as error:
            if not away:
                log.warning("DATABASE_AWAY", error=str(error))
            away = True
            await asyncio.sleep(POLL_SECONDS)


async def await_schema(settings: Settings, store: Store) -> bool:
    """Migrate if this process is to, and wait until the schema is there; then True."""
    if settings.run_migrations:
        await _migrate(settings)
    await store.wait_for_schema(POLL_SECONDS)
    return True


async def warm_up(store: Store) -> bool:
    """Open connections before calls wait for them, if that can be done now; True."""
    try:
        await store.warm_up()
    except DatabaseAway as error:  # who needs connections opens them, and says what is wrong
        log.debug("connections are cold", error=str(error))
    return True


async def _migrate(s: Settings) -> None:
    while True:
        try:
            return await schema.migrate(
                secret(s.migration_database_url or s.database_url),
                lock_wait_seconds=s.migration_lock_wait_seconds,
                statement_timeout=s.migration_statement_timeout,
            )
        except DatabaseAway as error:
            log.warning("DATABASE_AWAY", error=str(error))
            await asyncio.sleep(POLL_SECONDS)
