"""The files of the PostgreSQL cluster: made whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from dialer.embedded.binaries import Binaries
from dialer.embedded.place import ServerUser, Trouble, own_directory
from dialer.embedded.servers import POSTGRES_USER, spawn
from dialer.embedded.watch import Watch

UNFINISHED = "postgres.unfinished"
INITDB_WITHIN_SECONDS = 120.0


def make_cluster(binaries: Binaries, home: Path, user: ServerUser | None, fsync: bool, watch: Watch) -> None:
    """Make the cluster `home`/postgres unless it is there.

    It is made under another name and renamed when complete, so a cluster under the right name is whole.
    """
    if (home / "postgres").exists():
        return
    unfinished = home / UNFINISHED
    own_directory(unfinished, user)
    _run_initdb(_initdb_command(binaries, unfinished, fsync), home, user, watch)
    unfinished.rename(home / "postgres")
    if fsync:
        _sync_directory(home)


def forget_unfinished_cluster(home: Path, watch: Watch) -> None:
    """Remove what a crash in the midst of `make_cluster` left."""

    def removed() -> bool:
        # A server that initdb ran may still be writing for a moment: what it adds is removed the next time.
        shutil.rmtree(home / UNFINISHED, ignore_errors=True)
        return not (home / UNFINISHED).exists()

    if not watch.until(removed, seconds=10):
        raise Trouble(f"{home / UNFINISHED}, left by a crash, cannot be removed: remove it by hand")


def forget_dead_server(home: Path) -> None:
    """Remove the pid file of a server that is known not to run.

    Its pid may by now be that of another process of the same user, and PostgreSQL would refuse to start.
    """
    (home / "postgres" / "postmaster.pid").unlink(missing_ok=True)


def _initdb_command(binaries: Binaries, data: Path, fsync: bool) -> list[str]:
    return [
        str(binaries.postgres_bin / "initdb"),
        *("-D", str(data), "-U", POSTGRES_USER, "-E", "UTF8"),
        # The same order of text on every machine, whatever its C library.
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        # Whoever can reach the socket, in a directory that only we can enter, may connect.
        *("--auth=trust", "--no-instructions"),
        "--sync-method=fsync" if fsync else "--no-sync",
    ]


def _run_initdb(command: list[str], home: Path, user: ServerUser | None, watch: Watch) -> None:
    log = home / "initdb.log"
    with log.open("wb") as output:
        process = spawn(command, home, user, signal.SIGKILL, output.fileno())
    try:
        ended = watch.until(lambda: process.poll() is not None, seconds=INITDB_WITHIN_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, so its group: the servers it runs too
            process.wait()
    if not ended or process.returncode != 0:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise Trouble(f"no PostgreSQL cluster could be made; {log} ends with:\n{said}")


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
