"""The keeper: starts both servers, starts one again that died, stops both when nobody wants them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from dialer.embedded.binaries import find_binaries
from dialer.embedded.cluster import forget_dead_server, forget_unfinished_cluster, make_cluster
from dialer.embedded.leftovers import end_leftovers, mark_of, postgres_processes, valkey_processes
from dialer.embedded.place import (
    STATE_FILE,
    Trouble,
    choose_home,
    make_socket_directory,
    own_directory,
    server_user,
)
from dialer.embedded.servers import Server, addresses, postgres, valkey
from dialer.embedded.watch import Watch, note

START_WITHIN_SECONDS = 60.0  # a recovery after a power cut takes a while
STOP_WITHIN_SECONDS = 10.0
# A server that dies this often within this time is not worth another start.
MOST_RESTARTS, RESTARTS_WITHIN_SECONDS = 3, 60.0


class Keeper:
    """Holds the directory from `with` on; leaving it stops the servers and removes their sockets."""

    def __init__(self, directory: Path, fsync: bool, watch: Watch) -> None:
        self._directory = directory
        self._fsync = fsync
        self._watch = watch
        self._lock: IO[str] | None = None
        self._home = directory
        self._sockets: Path | None = None
        self._servers: list[Server] = []
        self._restarts: list[float] = []

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._state_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def start(self) -> None:
        """Bring both servers up; returns when both answer. Raises Trouble, or StopRequested meanwhile."""
        self._take_directory()
        self._home = choose_home(self._directory)
        if self._home != self._directory:
            note(f"the servers' user cannot enter {self._directory}: the data is in {self._home}")
        user = server_user(self._home)
        self._clear_leftovers()
        binaries = find_binaries(self._home, user)
        self._sockets = make_socket_directory(user)
        self._write_state()
        redis = valkey(binaries, self._home, self._sockets, user, self._fsync)
        own_directory(self._home / "valkey", user)
        self._launch(redis)  # first: it comes up while PostgreSQL's cluster is made
        make_cluster(binaries, self._home, user, self._fsync, self._watch)
        mark = mark_of(self._home)
        self._launch(postgres(binaries, self._home, self._sockets, user, mark, self._fsync))
        for server in self._servers:
            self._await(server)
        self._write_state()

    def addresses(self) -> str:
        """The one line that tells whoever started us where the servers are."""
        assert self._sockets is not None  # noqa: S101 - made by `start`
        dsn, redis = addresses(self._sockets)
        return json.dumps({"dsn": dsn, "redis": redis})

    def keep(self) -> None:
        """Watch the servers for ever; ends by StopRequested, or Trouble when one keeps dying."""
        while True:
            dead = next((server for server in self._servers if server.dead()), None)
            if dead is not None:
                self._restart(dead)  # and look again: the other may have died meanwhile, its bell unheard
            else:
                self._watch.pause(60)

    def _restart(self, server: Server) -> None:
        note(f"{server.name} died ({server.how_it_ended()}); starting it again")
        now = time.monotonic()
        self._restarts = [then for then in self._restarts if now - then < RESTARTS_WITHIN_SECONDS] + [now]
        if len(self._restarts) > MOST_RESTARTS:
            raise Trouble(f"{server.name} keeps dying; its last words:\n{server.last_words()}")
        if server.name == "postgres":
            # Its children outlive a killed server by a moment, and a new one refuses to start while they do.
            end_leftovers(postgres_processes, self._home, self._watch)
            forget_dead_server(self._home)
        server.start()
        self._await(server)
        self._write_state()

    def _take_directory(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self._directory / "keeper.lock").open("a+")
        except OSError as error:
            raise Trouble(
                f"cannot write to {self._directory} ({error.strerror}): name another directory"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            raise Trouble(
                f"{self._directory} is in use by another keeper (process {holder}): "
                "stop the program that started it, or name another directory"
            ) from error
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _clear_leftovers(self) -> None:
        """A state file means that the keeper before us was killed: it removes its own when it stops."""
        forget_unfinished_cluster(self._home, self._watch)
        if not self._state_file.exists():
            return
        count = sum(
            end_leftovers(find, self._home, self._watch) for find in (postgres_processes, valkey_processes)
        )
        forget_dead_server(self._home)
        shutil.rmtree(json.loads(self._state_file.read_text())["sockets"], ignore_errors=True)
        note(f"cleared up after a keeper that was killed ({count} processes left)")

    @property
    def _state_file(self) -> Path:
        return self._home / STATE_FILE

    def _write_state(self) -> None:
        pids = {server.name: server.process.pid for server in self._servers if server.process}
        state = {"keeper": os.getpid(), "sockets": str(self._sockets), **pids}
        written = self._state_file.with_suffix(".new")
        written.write_text(json.dumps(state) + "\n")
        written.replace(self._state_file)  # whoever reads it finds it whole

    def _launch(self, server: Server) -> None:
        self._servers.append(server)
        server.start()

    def _await(self, server: Server) -> None:
        answered = self._watch.until(lambda: server.ready() or server.dead(), seconds=START_WITHIN_SECONDS)
        if not answered or server.dead():
            why = "did not start" if server.dead() else f"did not answer within {START_WITHIN_SECONDS:.0f} s"
            raise Trouble(f"{server.name} {why}; {server.log} ends with:\n{server.last_words()}")

    def _stop(self) -> None:
        """Ask both at once, wait, insist. No wait here may be interrupted by a second request to stop."""
        for server in self._servers:
            server.signal(server.stop_signal)
        deadline = time.monotonic() + STOP_WITHIN_SECONDS
        for server in self._servers:
            if not server.gone_by(deadline):
                note(f"{server.name} did not stop within {STOP_WITHIN_SECONDS:.0f} s; killed")
                server.signal(signal.SIGKILL)
                server.gone_by(None)
