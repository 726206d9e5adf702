"""SIGINT, SIGTERM and SIGHUP as one exception, raised once: what follows is closing, which is not disturbed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopAsked(KeyboardInterrupt):
    """Somebody wants this command to end."""


class Interrupts:
    """Raises StopAsked in the main thread at the first signal; later ones change nothing."""

    def __init__(self) -> None:
        self._asked = False
        self._quiet = False

    def receive(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and not self._quiet:
            raise StopAsked

    def check(self) -> None:
        """Raise StopAsked again: Python drops an exception that comes up in a destructor or around a fork."""
        if self._asked and not self._quiet:
            raise StopAsked

    def hold(self) -> None:
        """From now on nothing is raised: everything is being shut down already."""
        self._quiet = True

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """What is done inside is done whole; a signal meanwhile is raised at its end."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before
        self.check()


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Signals ask for a stop while inside."""
    asked = Interrupts()
    before = {number: signal.signal(number, asked.receive) for number in _STOP_SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
