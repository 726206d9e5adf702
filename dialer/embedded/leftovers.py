"""What a killed keeper or a killed server leaves running: found by command line and ended."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dialer.embedded.place import Trouble
from dialer.embedded.watch import Watch


def mark_of(home: Path) -> str:
    """The name that all PostgreSQL processes working on `home` carry in their command lines."""
    return "dialer-" + hashlib.sha256(str(home).encode()).hexdigest()[:16]


def end_leftovers(find: Callable[[Path], list[int]], home: Path, watch: Watch) -> int:
    """Kill the processes that `find` finds for `home` and wait until they are gone; returns how many.

    Only for whoever holds the lock of the directory, at a moment when none of them is wanted.
    """
    pids = find(home)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not watch.until(lambda: not find(home), seconds=10):
        raise Trouble(f"processes {find(home)} of an earlier start still work on {home}: end them")
    return len(pids)


def postgres_processes(home: Path) -> list[int]:
    """The pids of all PostgreSQL processes that work on `home`: the server and its children."""
    title, data = f"postgres: {mark_of(home)}: ", f"/postgres -D {home / 'postgres'} "
    return [pid for pid, line in _command_lines() if line.startswith(title) or data in line]


def valkey_processes(home: Path) -> list[int]:
    """The pids of the Valkey processes that work on `home`."""
    data = f" --dir {home / 'valkey'} "
    return [pid for pid, line in _command_lines() if "-server " in line and data in line]


def _command_lines() -> list[tuple[int, str]]:
    if sys.platform != "linux":
        listed = subprocess.run(
            ["/bin/ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(maxsplit=1) for line in listed.splitlines()]
        return [(int(row[0]), row[1] + " ") for row in rows if len(row) == 2]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # ended while we looked
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(entry.name), line.decode(errors="replace") + " "))
    return found
