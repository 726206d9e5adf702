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
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
log_stats = 0
server_login_retry = 0.5
server_connect_timeout = 3
query_wait_timeout = 5
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


class Pooler:
    """PgBouncer before the server of `dsn`; skips the test where there is none. Killed, it starts at its port again."""

    def __init__(self, dsn: str, home: Path, size: int = SERVER_CONNECTIONS) -> None:
        self._port = free_port()
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        server = urlsplit(dsn)
        self.dsn = f"postgresql://{server.username}@127.0.0.1:{self._port}{server.path}"
        prepared = "max_prepared_statements = 200" if version() >= KNOWS_PREPARED_STATEMENTS else ""
        told = _SETTINGS.format(target=_target(dsn), port=self._port, size=size, prepared=prepared)
        self._settings = home / "pgbouncer.ini"
        self._settings.write_text(told, encoding="utf-8")

    @contextmanager
    def running(self) -> Iterator[Pooler]:
        self.start()
        try:
            eventually_sync(self._listens, timeout=10, description="pgbouncer listens")
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        # It does not run as root either: then as nobody, as the embedded server does. It reads its settings before.
        as_nobody = ("-u", "nobody") if os.geteuid() == 0 else ()
        command = [str(tools.find("pgbouncer")), *as_nobody, str(self._settings)]
        libraries = {"LD_LIBRARY_PATH": tools.environment()["LD_LIBRARY_PATH"]}
        with (self._home / "pgbouncer.log").open("ab") as output:
            self._process = spawn(command, self._home, None, signal.SIGKILL, output.fileno(), libraries)

    def kill(self) -> None:
        """At once: every connection of its clients breaks, and those to the server too."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def _target(dsn: str) -> str:
    parts = urlsplit(dsn)
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    password = f" password={parts.password}" if parts.password else ""
    return f"host={host} port={parts.port or 5432} user={parts.username}{password}"
