"""Batches: nobody waits for company, nobody is lost, and one that is stuck holds up only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dialer.batches import Batches
from tests.support.waiting import eventually


class Counter:
    """Answers each item with itself; holds those batches that hold something of `held`, until let go."""

    def __init__(self, most: int = 10) -> None:
        self.batches: list[list[str]] = []
        self.held: set[str] = set()
        self.go = asyncio.Event()
        self.line = Batches[str, str](self.act, key=lambda item: item[0], most=most)

    async def act(self, items: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(items))
        if self.held & {*items}:
            await self.go.wait()
        await asyncio.sleep(0)
        if "bad" in items:
            raise ValueError("bad")
        return [item.upper() for item in items]

    async def add_all(self, items: str) -> list[str]:
        return await asyncio.gather(*map(self.line.add, items.split()))


async def test_the_first_goes_alone_and_the_others_together() -> None:
    counter = Counter()
    assert await counter.add_all("a b c") == ["A", "B", "C"]
    assert counter.batches == [["a"], ["b", "c"]]
    assert await counter.line.add("d") == "D"
    assert await counter.add_all("e f g") == ["E", "F", "G"]
    assert counter.batches[2:] == [["d"], ["e"], ["f", "g"]]


async def test_what_comes_during_the_second_batch_goes_with_the_third() -> None:
    counter = Counter()
    counter.held = {"b"}
    early = asyncio.ensure_future(counter.add_all("a b c"))
    await eventually(lambda: len(counter.batches) == 2)
    late = asyncio.ensure_future(counter.add_all("d e"))
    await asyncio.sleep(0)
    counter.go.set()
    assert await early + await late == ["A", "B", "C", "D", "E"]
    assert counter.batches == [["a"], ["b", "c"], ["d", "e"]]


async def test_a_batch_has_no_two_of_the_same_and_no_more_than_it_may() -> None:
    counter = Counter(most=2)
    assert await counter.add_all("a b1 b2 c") == ["A", "B1", "B2", "C"]
    assert counter.batches == [["a"], ["b1", "c"], ["b2"]]


async def test_what_one_batch_raises_is_raised_for_each_of_it_and_for_no_other() -> None:
    counter = Counter()
    answers = await asyncio.gather(*map(counter.line.add, ("bad", "c")), return_exceptions=True)
    assert isinstance(answers[0], ValueError)
    assert answers[1] == "C"
    answers = await asyncio.gather(*map(counter.line.add, ("a", "bad", "c")), return_exceptions=True)
    assert [type(answer) for answer in answers] == [str, ValueError, ValueError]
    assert await counter.line.add("d") == "D"


@pytest.mark.parametrize("stuck", ["a", "b"])
async def test_one_that_is_stuck_holds_up_nobody_for_long(stuck: str) -> None:
    """Whether it went alone or in a batch."""
    counter = Counter()
    counter.held = {stuck}
    first = asyncio.ensure_future(counter.add_all("a b"))
    await eventually(lambda: [stuck] in counter.batches)
    assert await asyncio.wait_for(counter.add_all("d e"), 5) == ["D", "E"]
    assert await asyncio.wait_for(counter.line.add("f"), 5) == "F"
    assert not first.done()
    counter.go.set()
    assert await first == ["A", "B"]
    assert await counter.add_all("g h") == ["G", "H"]


async def test_one_who_does_not_wait_any_more_takes_nothing_from_the_others() -> None:
    counter = Counter()
    counter.held = {"a", "b"}
    asked = [asyncio.ensure_future(counter.line.add(item)) for item in "abc"]
    await eventually(lambda: len(counter.batches) == 2)
    asked[1].cancel()
    asked[0].cancel()
    counter.go.set()
    assert await asked[2] == "C"
    assert await counter.line.add("d") == "D"
    assert [task.cancelled() for task in asked] == [True, True, False]
