"""`python -m sql.migrate`, as the operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sql.command import BadSettings, Settings, settings_from_environment
from sql.migrate import LOCK, required_version

REPOSITORY = Path(__file__).parents[2]


async def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "sql.migrate", *options],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


async def test_apply_and_check(empty_database: str) -> None:
    behind = await run("--check", DATABASE_URL=empty_database)
    assert (behind.returncode, behind.stdout) == (1, f"behind: version 0, {required_version()} needed\n")

    applied = await run(DATABASE_URL=empty_database)
    assert applied.returncode == 0, applied.stderr
    events = [json.loads(line)["event"] for line in applied.stderr.splitlines()]
    assert events == ["MIGRATION_APPLIED"] * required_version()

    current = await run("--check", DATABASE_URL=empty_database)
    assert (current.returncode, current.stdout) == (
        0,
        f"current: version {required_version()}, {required_version()} needed\n",
    )


async def test_a_skip_is_no_failure_unless_strict(empty_database: str, onlooker: Any) -> None:
    assert await onlooker.fetchval(LOCK)
    skipped = await run(DATABASE_URL=empty_database, MIGRATION_LOCK_WAIT_SECONDS="0.2")
    assert (skipped.returncode, skipped.stdout) == (0, "skipped: lock busy\n")
    assert '"MIGRATION_SKIPPED"' in skipped.stderr
    strict = await run("--strict", DATABASE_URL=empty_database, MIGRATION_LOCK_WAIT_SECONDS="0.2")
    assert strict.returncode == 75


async def test_a_foreign_database_and_one_that_is_away_are_failures(empty_database: str, onlooker: Any) -> None:
    await onlooker.execute("CREATE TABLE outbound_call_jobs (id int)")
    refused = await run(DATABASE_URL=empty_database)
    assert refused.returncode == 1
    assert "outbound_call_jobs" in refused.stderr

    away = await run("--check", DATABASE_URL="postgresql://dialer:a-secret@127.0.0.1:1/x")
    assert away.returncode == 1
    assert "cannot be used" in away.stderr
    assert "a-secret" not in away.stderr + away.stdout


async def test_without_an_address_it_refuses_by_name() -> None:
    refused = await run()
    assert refused.returncode == 2
    assert "DATABASE_URL" in refused.stderr


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://from-file\n")
    plain = {"DATABASE_URL": "postgresql://plain"}
    assert settings_from_environment(plain) == Settings("postgresql://plain", 30.0, "120s")
    assert settings_from_environment({"DATABASE_URL_FILE": str(secret)}).dsn == "postgresql://from-file"
    direct = {"MIGRATION_DATABASE_URL_FILE": str(secret), "MIGRATION_STATEMENT_TIMEOUT": "5min"}
    assert settings_from_environment(plain | direct) == Settings("postgresql://from-file", 30.0, "5min")
    assert "plain" not in repr(settings_from_environment(plain))


def test_all_faults_of_the_settings_are_told_at_once(tmp_path: Path) -> None:
    faulty = {"DATABASE_URL_FILE": str(tmp_path / "none"), "MIGRATION_LOCK_WAIT_SECONDS": "soon"}
    with pytest.raises(BadSettings, match=r"DATABASE_URL_FILE(.|\n)*MIGRATION_LOCK_WAIT_SECONDS"):
        settings_from_environment(faulty)
