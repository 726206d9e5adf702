"""Room on the way to the carrier: so many creates may be unanswered at once, and intents are written for no more.

Without it a flood of free slots became a flood of intents, whose requests waited for connections until they were
too late to be sent; and whoever came first held up all others.
"""

import asyncio

# Less than there are connections: look-ups and hang-ups find one, too.
MOST_UNANSWERED = 150
# What one run gets at a time; then it is the next one's turn.
MOST_AT_ONCE = 5


class Wire:
    """First come, first served."""

    def __init__(self, most: int = MOST_UNANSWERED, at_once: int = MOST_AT_ONCE) -> None:
        self._free = most
        self._at_once = at_once
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()

    def room_now(self, wanted: int) -> int:
        """As `room`, but without waiting: 0 when there is none, or others wait."""
        return 0 if self._line.locked() else self._take(wanted)

    async def room(self, wanted: int) -> int:
        """Take room for between 1 and `wanted` creates, when there is some. Give all of it back by `leave`."""
        async with self._line:
            while not self._free:
                self._freed.clear()
                await self._freed.wait()
            return self._take(wanted)

    def leave(self, count: int) -> None:
        """So many were answered, or not sent."""
        self._free += count
        self._freed.set()

    def _take(self, wanted: int) -> int:
        taken = min(wanted, self._free, self._at_once)
        self._free -= taken
        return taken
