"""Room for creates: no more than there is, first come, first served, and none is lost."""

from __future__ import annotations

import asyncio

from dialer.loops.wire import Wire
from tests.support.waiting import eventually


async def test_nobody_gets_more_than_there_is_or_than_a_share() -> None:
    wire = Wire(most=5, at_once=3)
    assert [await wire.room(9), await wire.room(9), wire.room_now(9)] == [3, 2, 0]
    wire.leave(1)
    assert wire.room_now(9) == 1


async def test_who_waits_comes_before_who_asks_later() -> None:
    wire = Wire(most=2)
    assert wire.room_now(2) == 2
    got: list[str] = []

    async def ask(name: str) -> None:
        await wire.room(1)
        got.append(name)

    waiting = [asyncio.create_task(ask(name)) for name in "abc"]
    await asyncio.sleep(0)
    wire.leave(1)
    assert wire.room_now(1) == 0, "it is a's"
    await eventually(lambda: got == ["a"])
    wire.leave(1)
    await eventually(lambda: got == ["a", "b"])
    waiting[2].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    wire.leave(1)
    assert wire.room_now(1) == 1, "who went away took nothing along"
