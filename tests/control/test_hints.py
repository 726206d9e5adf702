"""Hints go on, whatever became of one."""

from __future__ import annotations

import asyncio
from typing import Any

from control.hints import Hints
from dialer.edges.wakeup import Hint
from tests.support.waiting import eventually


class Connection:
    """The first word is one too many for it."""

    def __init__(self) -> None:
        self.asked = 0
        self.heard: list[str] = []

    async def publish(self, channel: str, text: str) -> None:
        self.asked += 1
        if self.asked == 1:
            raise ValueError("a fault of ours")
        self.heard.append(text)


class Named:
    async def name(self) -> str:
        return "test"


async def test_a_fault_silences_no_hint_that_comes_later() -> None:
    connection: Any = Connection()
    installation: Any = Named()
    hints = Hints(connection, installation, lambda _: None)
    telling = asyncio.create_task(hints.run())
    hints.say(Hint("run", 1))
    await eventually(lambda: connection.asked == 1)
    hints.say(Hint("run", 2))
    await eventually(lambda: ['"business_id": 2' in text for text in connection.heard] == [True])
    await hints.flush()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
