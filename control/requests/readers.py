"""Clients that do not read their answers: what is kept for them is let go of."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from dialer.telemetry import logger

LOOK_EVERY_SECONDS = 2.0
STUCK_SECONDS = 30.0
# Less than this is no progress.
BYTES_PER_SECOND = 1024


@dataclass(slots=True)
class _Progress:
    """What of an answer was still unsent at the last look, and since when it has hardly become less."""

    unsent: int
    looked_at: float
    stuck_since: float


class Readers:
    """Connections that were answered. One that takes nothing for `stuck_seconds` is cut."""

    def __init__(self, stuck_seconds: float = STUCK_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        self._answered: dict[asyncio.Transport, _Progress] = {}

    async def see(self, request: web.Request, _: web.StreamResponse) -> None:
        """A signal of aiohttp: an answer is about to be sent."""
        if request.transport is not None and request.transport not in self._answered:
            now = self._clock()
            self._answered[request.transport] = _Progress(0, now, now)

    async def look(self) -> None:
        """Cut those that are stuck."""
        now = self._clock()
        for transport, progress in list(self._answered.items()):
            if transport.is_closing():
                del self._answered[transport]
            elif self._is_stuck(transport, progress, now):
                logger().info("reader cut", unsent=progress.unsent)
                transport.abort()

    def _is_stuck(self, transport: asyncio.Transport, progress: _Progress, now: float) -> bool:
        unsent = transport.get_write_buffer_size()
        taken = progress.unsent - unsent
        # More than there was: the answer goes on, so what was there before has been taken.
        if unsent == 0 or taken < 0 or taken > BYTES_PER_SECOND * (now - progress.looked_at):
            progress.stuck_since = now
        progress.unsent, progress.looked_at = unsent, now
        return now - progress.stuck_since >= self._stuck_seconds
