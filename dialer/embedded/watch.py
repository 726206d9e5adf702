"""Every wait of the keeper goes through here, so that a request to stop interrupts each of them."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequested(Exception):
    """Nobody wants the servers any more: shut them down and leave."""


class Watch:
    """Notices that stdin has closed (also by the death of the process that held it) or that a signal came."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._bell, self._rung = socket.socketpair()
        self._bell.setblocking(False)
        self._rung.setblocking(False)

    def __enter__(self) -> Watch:
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        # A handler that does nothing, but with one the end of a child rings the bell.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        self._bell.close()
        self._rung.close()

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, less when a child ends. Raises StopRequested as soon as asked to stop."""
        readable, _, _ = select.select([sys.stdin.fileno(), self._rung], [], [], seconds)
        if self._rung in readable:
            self._rung.recv(4096)
        if self._received is not None:
            raise StopRequested(signal.Signals(self._received).name)
        if sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), 4096):
            raise StopRequested("stdin was closed")

    def until(self, fact: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until `fact()`; False when it has not come true in time. Raises StopRequested."""
        deadline = time.monotonic() + seconds
        while not fact():
            if time.monotonic() > deadline:
                return False
            self.pause(0.01)
        return True

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._received = number


def note(text: str) -> None:
    """Tell the reader of stderr (the file keeper.log when a program started the keeper)."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} embedded servers: {text}", file=sys.stderr, flush=True)
