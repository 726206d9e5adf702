"""The side of the process that uses embedded servers: start a keeper, learn the addresses, stop it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from dialer.embedded.place import MOVED_TO, STATE_FILE
from dialer.embedded.servers import addresses

# The keeper gives the servers ten seconds to stop; this much longer and the keeper itself is stuck.
CLOSE_WITHIN_SECONDS = 15.0


class EmbeddedServersError(Exception):
    """The servers could not be started; the message says why and what to do about it."""


@dataclass(frozen=True)
class EmbeddedServers:
    """Running servers. They stop when this is closed, and also when this process dies in whatever way.

    `dsn` goes to asyncpg, `redis_url` to redis-py; both name unix sockets in a private directory.
    """

    dsn: str
    redis_url: str
    directory: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def close(self) -> None:
        """Stop both servers and wait until they are gone. Calling it again does nothing."""
        stop_keeper(self.process)

    def __enter__(self) -> EmbeddedServers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start(directory: Path | str, *, fsync: bool = True) -> EmbeddedServers:
    """Start PostgreSQL and Valkey on the data in `directory` (made when missing); returns when both answer.

    It blocks for 0.1 to 2 seconds: from asyncio call it, and `close`, through `asyncio.to_thread`.
    `fsync=False` is for tests: faster, and a power cut loses the data.
    Raises EmbeddedServersError when a server cannot be started or another keeper uses the directory.
    """
    home = Path(directory).absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = (home / "keeper.log").open("ab")
    except OSError as error:
        raise EmbeddedServersError(f"cannot write to {home}: {error.strerror}; name another directory") from error
    with log:
        said_before = log.tell()
        process = _spawn(home, fsync, log)
    line = _first_line(process)
    if not line:
        stop_keeper(process)
        said = (home / "keeper.log").read_bytes()[said_before:].decode(errors="replace").strip()
        raise EmbeddedServersError(said or "the keeper of the embedded servers ended without a word")
    addresses = json.loads(line)
    return EmbeddedServers(addresses["dsn"], addresses["redis"], home, process)


def find(directory: Path | str) -> tuple[str, str] | None:
    """The DSN and the Redis URL of servers that somebody runs on the data in `directory`; None when nobody does.

    They may be used by whoever may enter the directory of their sockets: their own user, and root.
    """
    home = Path(directory).absolute()
    with suppress(OSError, ValueError, KeyError):
        if (home / MOVED_TO).exists():
            home = Path((home / MOVED_TO).read_text().strip())
        sockets = Path(json.loads((home / STATE_FILE).read_text())["sockets"])
        # A keeper that was killed leaves its state, but nobody behind the sockets.
        return addresses(sockets) if sockets.is_dir() else None
    return None


def stop_keeper(process: subprocess.Popen[bytes]) -> None:
    """Close the keeper's stdin, which tells it to stop, and wait; kill it when it does not."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(CLOSE_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # the kernel then kills the servers with it
        process.wait()


def _spawn(home: Path, fsync: bool, log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dialer.embedded", str(home), "--fsync", "on" if fsync else "off"]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        # `-m` must find this very package, wherever the caller's working directory is.
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None  # noqa: S101 - opened as a pipe just above
    try:
        return process.stdout.readline()
    except BaseException:
        # Interrupted while waiting (Ctrl-C): nobody will have a handle to close it by.
        stop_keeper(process)
        raise
