"""PgBouncer in transaction mode before a PostgreSQL: each transaction may run on another connection of the server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dialer.embedded.servers import spawn
from tests.support import tools
from tests.support.redises import free_port
from tests.support.waiting import eventually_sync

# So few that every client gets another's connection all the time.
SERVER_CONNECTIONS = 5
KNOWS_PREPARED_STATEMENTS = (1, 21)

_SETTINGS = """
[databases]
* = {target}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
{prepared}
"""


def version() -> tuple[int, int]:
    """Of the PgBouncer that is here. Skips the test where there is none."""
    program = tools.find("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not here and could not be fetched (make .venv/.tools)")
    said = subprocess.run(
        [program, "--version"], env=tools.environment(), capture_output=True, text=True, timeout=10
    )
    found = re.search(r"(\d+)\.(\d+)", said.stdout)
    assert found is not None, said
    return int(found[1]), int(found[2])


def statement_cache() -> str:
    """What DATABASE_STATEMENT_CACHE_SIZE must be with this PgBouncer."""
    return "100" if version() >= KNOWS_PREPARED_STATEMENTS else "0"


@contextmanager
def pgbouncer(dsn: str, home: Path, size: int = SERVER_CONNECTIONS) -> Iterator[str]:
    """It runs before the server of `dsn`; yields the DSN that leads through it. Skips where there is no PgBouncer."""
    knows_prepared = version() >= KNOWS_PREPARED_STATEMENTS
    server, port = urlsplit(dsn), free_port()
    settings = home / "pgbouncer.ini"
    prepared = "max_prepared_statements = 200" if knows_prepared else ""
    settings.write_text(
        _SETTINGS.format(target=_target(dsn), port=port, size=size, prepared=prepared), encoding="utf-8"
    )
    settings.chmod(0o644)
    process = _start(settings, home / "pgbouncer.log")
    try:
        eventually_sync(lambda: _listens(port), timeout=10, description="pgbouncer listens")
        yield f"postgresql://{server.username}@127.0.0.1:{port}{server.path}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _start(settings: Path, log: Path) -> subprocess.Popen[bytes]:
    """It does not run as root either: then as nobody, as the embedded server does. It reads its settings first."""
    program = tools.find("pgbouncer")
    command = [str(program), "-q", *(("-u", "nobody") if os.geteuid() == 0 else ()), str(settings)]
    environment = {"LD_LIBRARY_PATH": tools.environment()["LD_LIBRARY_PATH"]}
    before = os.environ.get("LD_LIBRARY_PATH")
    os.environ |= environment  # `spawn` hands it on
    try:
        with log.open("wb") as output:
            return spawn(command, settings.parent, None, signal.SIGKILL, output.fileno())
    finally:
        if before is None:
            del os.environ["LD_LIBRARY_PATH"]
        else:
            os.environ["LD_LIBRARY_PATH"] = before


def _target(dsn: str) -> str:
    parts = urlsplit(dsn)
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    password = f" password={parts.password}" if parts.password else ""
    return f"host={host} port={parts.port or 5432} user={parts.username}{password}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
