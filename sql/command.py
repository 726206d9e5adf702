"""The command line of the migrations: `python -m sql.migrate [--check] [--strict]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import structlog

from sql.migrate import (
    CONNECT_WITHIN_SECONDS,
    MigrationFailed,
    MigrationRefused,
    Skipped,
    current_version,
    migrate,
    required_version,
)

DONE, FAILED, BAD_USAGE = 0, 1, 2
SKIPPED_STRICT = 75  # EX_TEMPFAIL: try again later


class BadSettings(Exception):
    """The environment lacks something or has something unusable; the message lists every fault."""


@dataclass(frozen=True)
class Settings:
    """What a migration needs to know."""

    dsn: str = field(repr=False)  # holds a password
    lock_wait_seconds: float
    statement_timeout: str


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    # What a command says goes to stderr; stdout is for what was asked for.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    try:
        settings = settings_from_environment(os.environ)
    except BadSettings as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    return asyncio.run(run(settings, check=options.check, strict=options.strict))


async def run(settings: Settings, *, check: bool, strict: bool) -> int:
    """Apply what is missing, or only look (`check`). Prints one line; returns the exit code."""
    try:
        if check:
            return await _check(settings)
        outcome = await migrate(
            settings.dsn,
            lock_wait_seconds=settings.lock_wait_seconds,
            statement_timeout=settings.statement_timeout,
        )
    except (MigrationRefused, MigrationFailed) as error:
        print(error, file=sys.stderr)
        return FAILED
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"the database cannot be used: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    if isinstance(outcome, Skipped):
        print(f"skipped: {outcome.reason}")
        return SKIPPED_STRICT if strict else DONE
    print(f"current: version {required_version()}, {len(outcome.versions)} applied now")
    return DONE


def settings_from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings of migrations. Raises BadSettings naming every fault at once."""
    faults: list[str] = []
    dsn = _secret(environ, "MIGRATION_DATABASE_URL", faults) or _secret(environ, "DATABASE_URL", faults)
    if not dsn and not faults:
        faults.append("DATABASE_URL: not set; it names the database to migrate (postgresql://...)")
    wait = 0.0
    try:
        wait = float(environ.get("MIGRATION_LOCK_WAIT_SECONDS") or 30)
    except ValueError:
        faults.append("MIGRATION_LOCK_WAIT_SECONDS: not a number of seconds")
    if faults:
        raise BadSettings("\n".join(faults))
    return Settings(dsn or "", wait, environ.get("MIGRATION_STATEMENT_TIMEOUT") or "120s")


async def _check(settings: Settings) -> int:
    connection = await asyncpg.connect(settings.dsn, timeout=CONNECT_WITHIN_SECONDS)
    try:
        current = await current_version(connection)
    finally:
        await connection.close()
    required = required_version()
    state = "current" if current >= required else "behind"
    print(f"{state}: version {current}, {required} needed")
    return DONE if current >= required else FAILED


def _secret(environ: Mapping[str, str], name: str, faults: list[str]) -> str | None:
    """The value of NAME, or of the file that NAME_FILE names."""
    path = environ.get(f"{name}_FILE")
    if environ.get(name) or not path:
        return environ.get(name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{name}_FILE: {path} cannot be read ({type(error).__name__})")
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sql.migrate", description="Bring the schema up to date.")
    parser.add_argument("--check", action="store_true", help="only tell: exit 0 current, 1 behind")
    parser.add_argument("--strict", action="store_true", help="exit 75 when others hold the lock, instead of 0")
    return parser
