"""Processes of ours that begin warm: forked from one that has imported what they import.

They are processes like any other, to be killed, frozen and asked for their exit code, and they run the same `main`.
What differs is outside of it: Python has read its own variables already, its name in the list of processes is the
server's, and it ends without the interpreter's last steps.
What they save is the second that Python takes to import everything, which a suite of some hundred would spend
mostly on that. How they begin cold (`python -m dialer`, the units, the image) has tests of its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

PROGRAMS = ("dialer", "control")
LOOK_EVERY_SECONDS = 0.01

# The exit code comes through a pipe, once: two who read it at a time would each get half. And whoever starts another
# process looks after all that are there.
_ONE_AT_A_TIME = threading.Lock()
_CONTEXT = multiprocessing.get_context("forkserver")
# "__main__" is the test runner's own: each child would import it anew.
_CONTEXT.set_forkserver_preload(["__main__", *(f"{name}.__main__" for name in PROGRAMS)])


class Warm:
    """A running program; of subprocess.Popen what tests use of it."""

    def __init__(self, program: str, environment: Mapping[str, str], log: Path) -> None:
        """`log` is there, and empty."""
        assert program in PROGRAMS
        # What Python reads as it starts was read by the server: see how `environment` differs from ours.
        told = {n for n in environment if n.startswith("PYTHON") and environment[n] != os.environ.get(n)}
        assert not told, f"{told}: such a process must begin cold"
        self._process = _CONTEXT.Process(target=_run, args=(program, dict(environment), log), daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """The exit code; a signal's number, negative; None while it runs."""
        with _ONE_AT_A_TIME:
            if self._exit_code is None and (code := self._process.exitcode) is not None:
                self._exit_code = code
                self._process.close()  # two files, which it would keep until it is collected
            return self._exit_code

    def wait(self, timeout: float = 60) -> int:
        """The exit code, as soon as there is one."""
        give_up_at = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < give_up_at, "it runs on"
            time.sleep(LOOK_EVERY_SECONDS)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(program: str, environment: dict[str, str], log: Path) -> None:
    """In the child: become what `python -m program` would be."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY)
    for ours, theirs in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(ours, theirs)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program]
    sys.exit(importlib.import_module(f"{program}.__main__").main())
