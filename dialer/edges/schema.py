"""Migrations, for a process that is told to apply them at its start."""

from dialer.telemetry import logger
from sql import migrate as migrations


async def migrate(dsn: str, *, lock_wait_seconds: float, statement_timeout: str) -> None:
    """Apply what is missing. A skip is no failure: whoever needs the schema waits for it.

    Raises what `sql.migrate.migrate` raises.
    """
    outcome = await migrations.migrate(
        dsn, lock_wait_seconds=lock_wait_seconds, statement_timeout=statement_timeout
    )
    logger().debug("migrations", outcome=str(outcome))
