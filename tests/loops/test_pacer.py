"""Who gets the next permit of a process: real Redis, one account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dialer.edges.clock import boot_seconds
from dialer.edges.pace import Pace
from dialer.loops.pacer import Pacer


@pytest.fixture
async def pacer(redis_url: str) -> AsyncIterator[Pacer]:
    pace = Pace(redis_url, "test", "AC1", 10.0)

    async def one() -> int:
        return 1

    yield Pacer(pace, one, boot_seconds)
    await pace.close()


async def test_an_intent_whose_permit_expired_comes_before_the_line(pacer: Pacer) -> None:
    got: list[str] = []

    async def ask(name: str, committed: bool) -> None:
        await pacer.permits(1, committed)
        got.append(name)

    line = [asyncio.create_task(ask("line", False)) for _ in range(12)]
    await asyncio.wait(line, return_when=asyncio.FIRST_COMPLETED)
    before = len(got)
    overdue = [asyncio.create_task(ask("committed", True)) for _ in range(3)]
    await asyncio.gather(*overdue, *line)
    # One of the line may be asking already when the first of them does.
    assert max(n for n, who in enumerate(got) if who == "committed") <= before + 3, got


async def test_one_that_stops_waiting_leaves_the_line_as_it_was(pacer: Pacer) -> None:
    await pacer.permits(1)
    await pacer.permits(1)
    overdue = asyncio.create_task(pacer.permits(1, True))
    await asyncio.sleep(0)
    overdue.cancel()
    await asyncio.wait([overdue])
    async with asyncio.timeout(5):
        assert await pacer.permits(1)
