"""A port that is ours before anybody listens on it."""

import socket
import sys
from typing import Self

from dialer.cli.failures import Failed


class TakenPort:
    """One that was free, kept until `close`.

    On Linux a server may listen on it meanwhile (both have SO_REUSEADDR, as asyncio's servers do), while the system
    gives it to nobody else. Elsewhere the server would be refused, so there it is free again at once.
    """

    def __init__(self, host: str) -> None:
        """Raises Failed when nobody can listen on that host here."""
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, 0))
        except OSError as error:
            self.close()
            raise Failed(f"CONTROL_HOST: nobody can listen on {host} here ({error.strerror})") from error
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Let it go."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port(host: str) -> int:
    """A port that nobody holds at this moment. Raises Failed."""
    with TakenPort(host) as taken:
        return taken.number
