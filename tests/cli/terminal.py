"""The `dialer` command on a terminal, as a person sees it and types to it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path
from types import TracebackType

from tests.cli.running import DIALER
from tests.support.waiting import eventually

_ROWS, _COLUMNS = 40, 120


class Terminal:
    """A command whose stdin, stdout and stderr are one terminal. It is gone on leaving."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self._arguments = arguments
        self._environment = {**os.environ, "TERM": "xterm", **variables}
        self.seen = ""
        self._read_all = False

    def __enter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [DIALER, *self._arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=self._environment,
            start_new_session=True,
            # Ctrl-C is a signal only for those whose terminal it is.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def threads(self) -> int | None:
        """How many the command has; None where the system does not tell."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return len(list(tasks.iterdir())) if tasks.exists() else None

    async def shows(self, text: str) -> None:
        """Wait until this text has been shown."""
        await eventually(lambda: text in self.seen, timeout=30, description=f"the terminal shows {text!r}")

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    async def ended(self) -> int:
        """Wait for its end; its exit code, negative when a signal ended it."""
        await eventually(lambda: self._process.poll() is not None, timeout=30, description="the command ends")
        await eventually(lambda: self._read_all, timeout=10, description="all it has shown was read")
        return self._process.wait()

    def _read(self) -> None:
        try:
            chunk = os.read(self._ours, 65536)
        except OSError:  # on Linux: the other end is closed
            chunk = b""
        if not chunk:
            self._read_all = True
            asyncio.get_running_loop().remove_reader(self._ours)
        self.seen += chunk.decode(errors="replace")
