"""Work that outlives the request that caused it: held until done, and let go of at the end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from dialer.errors import TryAgainLater
from dialer.telemetry import logger


class Chores:
    """Background tasks of this process. None of them is needed for anything to be right."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it in the background; a dependency that is away is logged, and the work is given up."""
        task = asyncio.create_task(_logged(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is still going on, and wait until it has stopped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _logged(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except TryAgainLater as error:
        logger().warning("chore given up", chore=name, error=type(error).__name__)
