"""A supervisor of the test's own: the socket that NOTIFY_SOCKET names, and what processes say there."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.servers import reachable_directory


@dataclass
class Supervisor:
    """`words` in the order in which they came; a word may have several lines."""

    address: str
    listening: socket.socket
    watchdog_seconds: float
    words: list[list[str]] = field(default_factory=list)
    _fed_at: float = field(default_factory=time.monotonic)

    @property
    def environment(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(round(self.watchdog_seconds * 1e6))}

    def lines(self) -> list[str]:
        """All that was said until now."""
        self._listen()
        return [line for word in self.words for line in word]

    def said(self, line: str) -> bool:
        return line in self.lines()

    def feeds(self) -> int:
        return self.lines().count("WATCHDOG=1")

    def statuses(self) -> list[str]:
        return [line.removeprefix("STATUS=") for line in self.lines() if line.startswith("STATUS=")]

    def would_kill(self) -> bool:
        """Whether the watchdog was not fed for so long that systemd would end the process."""
        self._listen()
        return time.monotonic() - self._fed_at > self.watchdog_seconds

    def _listen(self) -> None:
        # Before we look: what comes in the meantime is not too late.
        now = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            while True:
                self.words.append(self.listening.recv(4096).decode().splitlines())
                if "WATCHDOG=1" in self.words[-1]:
                    self._fed_at = now


@contextlib.contextmanager
def supervisor(*, abstract: bool = False, watchdog_seconds: float = 1.0) -> Iterator[Supervisor]:
    with reachable_directory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = f"@dialer-tests-{secrets.token_hex(8)}" if abstract else str(directory / "notify")
        listening.bind(address.replace("@", "\0", 1) if abstract else address)
        listening.setblocking(False)
        yield Supervisor(address, listening, watchdog_seconds)
