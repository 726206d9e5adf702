"""Lets anybody wait for a fact about the simulator instead of sleeping."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Changes:
    """Told of every change; wakes those whose condition may have become true."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def mark(self) -> None:
        """Something changed. Free of cost when nobody waits."""
        for waiter in self._waiting:
            waiter.set()

    async def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Whether the condition came true within `timeout` seconds."""
        waiter = asyncio.Event()
        self._waiting.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    waiter.clear()
                    await waiter.wait()
        except TimeoutError:
            return condition()
        finally:
            self._waiting.discard(waiter)
        return True


class Chores:
    """Tasks that run beside the requests, all ended together with the simulator."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
