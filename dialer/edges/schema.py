"""Migrations, for a process that is told to apply them at its start."""

from dialer.edges.pool import AWAY
from dialer.errors import DatabaseAway, LetAPersonLook
from dialer.telemetry import logger
from sql import migrate as migrations


async def migrate(dsn: str, *, lock_wait_seconds: float, statement_timeout: str) -> None:
    """Apply what is missing. A skip is no failure: whoever needs the schema waits for it.

    Raises DatabaseAway (try again), or LetAPersonLook when this database and these files do not fit.
    """
    try:
        outcome = await migrations.migrate(
            dsn, lock_wait_seconds=lock_wait_seconds, statement_timeout=statement_timeout
        )
    except (migrations.MigrationRefused, migrations.MigrationFailed) as error:
        raise LetAPersonLook(str(error)) from error
    except AWAY as error:
        raise DatabaseAway(f"migrate: {type(error).__name__}") from error
    logger().debug("migrations", outcome=str(outcome))
