"""Looking at processes that tests started."""

from __future__ import annotations

import os
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was only not yet reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    state = _state(pid)
    return state != "Z" if state is not None else not Path("/proc/self").exists()


def is_stopped(pid: int) -> bool:
    """Whether a process stands still, by SIGSTOP; one that has ended meanwhile does not."""
    return _state(pid) == "T"


def _state(pid: int) -> str | None:
    try:
        stat = (Path("/proc") / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The state follows the name, which stands in parentheses and may hold anything.
    return stat.rpartition(")")[2].split()[0]
