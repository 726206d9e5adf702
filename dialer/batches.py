"""Many asked, one trip: what comes while a batch is under way goes together with the next. Nobody waits for company."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# A batch that takes longer holds up nobody but itself.
HOLD_UP_SECONDS = 0.1


class Batches(Generic[Item, Answer]):
    """Hands items to `act` in batches; each gets its own answer, or what was raised for all of its batch.

    The first is handed on at once, alone. A batch has no two items with the same `key`.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        key: Callable[[Item], Hashable],
        most: int,
    ) -> None:
        """`act` answers each item of a batch, in order. `most`: items in a batch."""
        self._act = act
        self._key = key
        self._most = most
        self._waiting: dict[asyncio.Future[Answer], Item] = {}
        # The batch that others wait for; None: whoever comes next is handed on at once.
        self._under_way: asyncio.Future[None] | None = None
        self._is_driven = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, item: Item) -> Answer:
        """The answer to this item. Raises what `act` raised."""
        loop = asyncio.get_running_loop()
        if self._under_way is None:
            # In the caller's own task: what comes alone, which is what is waited for most, pays for no other.
            self._under_way = over = loop.create_future()
            try:
                [answer] = await self._act([item])
            finally:
                self._end(over)
            return answer
        answered: asyncio.Future[Answer] = loop.create_future()
        self._waiting[answered] = item
        if not self._is_driven:
            self._is_driven = True
            self._start(self._drive(self._under_way))
        return await answered

    def _end(self, over: "asyncio.Future[None]") -> None:
        over.set_result(None)
        if self._under_way is over and not self._is_driven:
            self._under_way = None

    async def _drive(self, under_way: "asyncio.Future[None]") -> None:
        """When that is over, batch after batch until nothing waits."""
        await asyncio.wait([under_way], timeout=HOLD_UP_SECONDS)
        while batch := self._next():
            self._under_way = over = asyncio.get_running_loop().create_future()
            self._start(self._hand_on(batch, over))
            await asyncio.wait([over], timeout=HOLD_UP_SECONDS)
        self._is_driven, self._under_way = False, None

    async def _hand_on(self, batch: "Mapping[asyncio.Future[Answer], Item]", over: "asyncio.Future[None]") -> None:
        """Tell each its answer; one that is done already was cancelled by whoever asked."""
        try:
            answers = await self._act(list(batch.values()))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            for answered in batch:
                if not answered.done():
                    answered.set_exception(error)
            return
        finally:
            over.set_result(None)
        for answered, answer in zip(batch, answers, strict=True):
            if not answered.done():
                answered.set_result(answer)

    def _start(self, work: "Awaitable[None]") -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next(self) -> "dict[asyncio.Future[Answer], Item]":
        """Those who came first, but not two that are about the same."""
        batch: dict[asyncio.Future[Answer], Item] = {}
        keys: set[Hashable] = set()
        for answered, item in self._waiting.items():
            if len(batch) == self._most:
                break
            if (key := self._key(item)) not in keys:
                keys.add(key)
                batch[answered] = item
        for answered in batch:
            del self._waiting[answered]
        return batch
