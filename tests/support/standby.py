"""A PostgreSQL with a synchronous standby, on ports of their own: what was committed on one is on both."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from dialer.embedded.binaries import Binaries, find_binaries
from dialer.embedded.place import ServerUser, server_user
from dialer.embedded.servers import Server, postgres
from tests.support.redises import HOST, free_port
from tests.support.servers import reachable_directory
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Pair:
    """`dsn` names both hosts and wants the one that can be written to."""

    primary: Server
    primary_port: int
    standby_port: int
    user: str
    database: str

    @property
    def dsn(self) -> str:
        hosts = f"{HOST}:{self.primary_port},{HOST}:{self.standby_port}"
        return f"postgresql://{self.user}@{hosts}/{self.database}?target_session_attrs=read-write"

    @property
    def standby_dsn(self) -> str:
        return f"postgresql://{self.user}@{HOST}:{self.standby_port}/{self.database}"

    async def fail_over(self) -> None:
        """Kill the primary, and promote the standby as somebody who watches both would."""
        self.primary.signal(signal.SIGQUIT)
        assert self.primary.process is not None
        self.primary.process.wait()
        standby = await asyncpg.connect(self.standby_dsn)
        try:
            assert await standby.fetchval("SELECT pg_promote()")
        finally:
            await standby.close()


@asynccontextmanager
async def pair(dsn: str) -> AsyncIterator[Pair]:
    """Both begin as copies of the server of `dsn`, and serve the database that it names."""
    with reachable_directory(durable=False) as home:
        user = server_user(home)
        binaries = find_binaries(home, user)
        parts = urlsplit(dsn)
        ports = free_port(), free_port()
        began: list[Server] = []
        try:
            _copy(dsn, home / "one", user, follow=False)
            primary = _start(binaries, home / "one", user, ports[0], began)
            made = Pair(primary, *ports, parts.username or "", parts.path.strip("/"))
            first = f"postgresql://{made.user}@{HOST}:{ports[0]}/{made.database}"
            await eventually(lambda: _answers(first), timeout=20)
            _copy(first, home / "two", user, follow=True)
            _start(binaries, home / "two", user, ports[1], began)
            await eventually(lambda: _answers(made.standby_dsn), timeout=20)
            await _commit_on_both(first)
            yield made
        finally:
            for server in began:
                server.signal(signal.SIGQUIT)
                server.gone_by(None)


def _copy(dsn: str, home: Path, user: ServerUser | None, *, follow: bool) -> None:
    program = _pg_basebackup()
    home.mkdir(mode=0o711)
    parts = urlsplit(dsn)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    command = [program, "-h", host, "-p", str(parts.port or 5432), "-U", str(parts.username)]
    command += ["-D", str(home / "postgres"), "-c", "fast", "--no-sync", *(["-R"] if follow else [])]
    copied = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert copied.returncode == 0, copied.stderr
    if user is not None:
        for path in (home, *home.rglob("*")):
            os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _pg_basebackup() -> str:
    # The copy that root's servers run from lacks it: look where the package has it.
    packaged = [found.postgres_bin / "pg_basebackup" for found in [find_binaries(Path(), None)]]
    program = next((str(p) for p in packaged if p.exists()), None) or shutil.which("pg_basebackup")
    if program is None:
        pytest.skip("pg_basebackup is not here")
    return program


def _start(binaries: Binaries, home: Path, user: ServerUser | None, port: int, began: list[Server]) -> Server:
    server = postgres(binaries, home, home, user, f"dialer-test-{port}", fsync=False)
    server.command += ["-c", f"listen_addresses={HOST}", "-c", f"port={port}"]
    server.start()
    began.append(server)
    return server


async def _answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def _commit_on_both(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")

        async def in_step() -> bool:
            return bool(await connection.fetchval("SELECT sync_state = 'sync' FROM pg_stat_replication"))

        await eventually(in_step, timeout=20)
    finally:
        await connection.close()
