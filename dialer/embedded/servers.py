"""One server as a direct child of the keeper, and the command lines of the two."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dialer.embedded.binaries import Binaries
from dialer.embedded.place import ServerUser

PR_SET_PDEATHSIG = 1
POSTGRES_USER = "dialer"
MAX_CONNECTIONS = 200
# Loaded before any fork: between fork and exec only what is already there is safe to use.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass
class Server:
    """A server that is to run; `start` runs it, also again after it died."""

    name: str
    command: list[str]
    home: Path
    user: ServerUser | None
    stop_signal: signal.Signals
    # Sent by the kernel when the keeper is gone, even by kill -9.
    orphan_signal: signal.Signals
    answers: Callable[[int], bool]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    def start(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.before"))
        with self.log.open("wb") as log:
            self.process = spawn(self.command, self.home, self.user, self.orphan_signal, log.fileno())

    def ready(self) -> bool:
        return self.process is not None and self.answers(self.process.pid)

    def dead(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def gone_by(self, deadline: float | None) -> bool:
        """Wait until the process has ended, at most until `deadline` (monotonic seconds; None: for ever)."""
        if self.process is None:
            return True
        try:
            self.process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def how_it_ended(self) -> str:
        code = self.process.returncode if self.process else None
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def spawn(
    command: list[str],
    home: Path,
    user: ServerUser | None,
    orphan_signal: signal.Signals,
    output: int,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Run a command as the servers' user, with an environment that is bare but for this, in a session of its own."""
    keeper = os.getpid()

    def die_with_keeper() -> None:
        # Runs after the change of user, which would clear it. The kernel sends it when the thread that
        # forked ends, so only the keeper's main thread starts servers.
        if _LIBC is not None:
            _LIBC.prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
            if os.getppid() != keeper:  # it died before we asked
                os._exit(1)

    return subprocess.Popen(  # noqa: S603 - the command lines below
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=home,
        # Neither secrets nor PG* variables of whoever started us.
        env={name: os.environ[name] for name in ("PATH", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
        | {"LC_ALL": "C", **(environment or {})},
        start_new_session=True,
        preexec_fn=die_with_keeper,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )


def addresses(sockets: Path) -> tuple[str, str]:
    """The DSN of PostgreSQL and the URL of Valkey whose sockets are in this directory."""
    host = quote(str(sockets), safe="/")
    return f"postgresql://{POSTGRES_USER}@/postgres?host={host}", f"unix://{host}/valkey.sock"


def postgres(
    binaries: Binaries, home: Path, sockets: Path, user: ServerUser | None, mark: str, fsync: bool
) -> Server:
    data = home / "postgres"
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        # Shows in the command line of every process of it, which is how leftovers are recognised.
        "cluster_name": mark,
        "max_connections": str(MAX_CONNECTIONS),
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "max_wal_size": "2GB",
    }
    if not fsync:
        # Commits still reach the kernel before they are answered, so killed processes lose nothing.
        settings |= {"fsync": "off", "full_page_writes": "off"}
    command = [str(binaries.postgres_bin / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]

    def answers(pid: int) -> bool:
        # What pg_ctl does: the server writes its pid first and its state as the eighth line.
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    # Orphaned, it stops at once and its children with it; the next start recovers from the log.
    return Server("postgres", command, home, user, signal.SIGINT, signal.SIGQUIT, answers)


def valkey(binaries: Binaries, home: Path, sockets: Path, user: ServerUser | None, fsync: bool) -> Server:
    path = sockets / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(home / "valkey"),
        "appendonly": "yes",
        "appendfsync": "everysec" if fsync else "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        # Keeps the command line as it is, which is how leftovers are recognised.
        "set-proc-title": "no",
    }
    command = [str(binaries.valkey)]
    for name, value in options.items():
        command += [f"--{name}", value]

    def answers(_pid: int) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    # It has written every command to its log before answering it, so being killed loses nothing.
    return Server("valkey", command, home, user, signal.SIGTERM, signal.SIGKILL, answers)
