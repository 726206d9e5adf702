"""How loops repeat and end."""

from __future__ import annotations

import asyncio

from dialer.rhythm import Rhythm, cancelled


async def test_a_rhythm_ends_though_what_it_does_swallows_the_cancellation() -> None:
    """As asyncio.wait_for may, under the client of Redis, before Python 3.12."""
    begun = asyncio.Event()

    async def act() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    task = asyncio.create_task(Rhythm("test", 600.0, act).run())
    await begun.wait()
    assert await cancelled([task], 5.0), "it goes on for ever"
    assert task.cancelled()


async def test_a_fault_ends_one_look_and_waking_brings_the_next() -> None:
    looks: list[int] = []
    again = asyncio.Event()

    async def act() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("a defect")
        again.set()

    rhythm = Rhythm("test", 600.0, act)
    task = asyncio.create_task(rhythm.run())
    rhythm.wake()
    await asyncio.sleep(0)
    rhythm.wake()
    async with asyncio.timeout(5):
        await again.wait()
    await cancelled([task], 5.0)
    assert len(looks) == 2
