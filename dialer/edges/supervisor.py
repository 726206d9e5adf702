"""Whoever started this process and wants to hear how it is: systemd, or what speaks its protocol (sd_notify).

A word is one datagram of lines NAME=value, sent to the socket that NOTIFY_SOCKET names. Nobody answers.
"""

import os
import socket
from collections.abc import Callable

from dialer.config import Settings
from dialer.telemetry import logger


class Supervisor:
    """Without NOTIFY_SOCKET nobody listens, and nothing is sent."""

    def __init__(self, settings: Settings, own_pid: Callable[[], int] = os.getpid) -> None:
        named = settings.notify_socket
        # A name that begins with @ is abstract: it lies in no folder, and begins with a zero byte.
        self._address = f"\0{named[1:]}" if named and named.startswith("@") else named
        self._unheard = False
        is_watched = settings.watchdog_usec is not None and settings.watchdog_pid in (None, own_pid())
        self.watchdog_seconds = settings.watchdog_usec / 1e6 if is_watched and settings.watchdog_usec else None
        """It ends this process when it has not been told WATCHDOG=1 for so long; None: it does not watch."""

    def tell(self, *lines: str) -> None:
        """Send these lines as one word. What cannot be sent is logged once, until one can be sent again."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto("\n".join(line.replace("\n", " ") for line in lines).encode(), self._address)
        except OSError as error:
            if not self._unheard:
                logger().warning("SUPERVISOR_AWAY", error=type(error).__name__)
            self._unheard = True
        else:
            self._unheard = False
