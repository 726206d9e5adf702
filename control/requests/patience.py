"""How long slow clients are waited for: while they send their body, and while they should read their answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import StreamReader

from control.requests.problems import AnswerWith, Problem

# How long a connection may be without a request, one whose head is not there whole included. Longer than most load
# balancers keep an idle connection, or they would send into one that is just being closed.
HEAD_WITHIN_SECONDS = 75.0


@dataclass(frozen=True, slots=True)
class Patience:
    """A slow line is served, one that stands still is not.

    A body must never rest for `pause_seconds`, and after `grace_seconds` be as far as `bytes_per_second` would have
    brought it. A listener to events must take what is written within `write_seconds`; when there is nothing to tell,
    it hears that it is still connected each `keep_alive_seconds`.
    """

    pause_seconds: float = 15.0
    grace_seconds: float = 30.0
    bytes_per_second: float = 8192.0
    write_seconds: float = 10.0
    keep_alive_seconds: float = 15.0

    async def chunks(self, body: StreamReader) -> AsyncIterator[bytes]:
        """The body as it comes. Raises AnswerWith 408 when it does not."""
        now = asyncio.get_running_loop().time
        began, received = now(), 0
        while True:
            whole = began + self.grace_seconds + received / self.bytes_per_second
            try:
                async with asyncio.timeout_at(min(whole, now() + self.pause_seconds)):
                    chunk = await body.readany()
            except TimeoutError:
                raise AnswerWith(Problem(408, "too_slow", "the body came too slowly")) from None
            if not chunk:
                return
            received += len(chunk)
            yield chunk
