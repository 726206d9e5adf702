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
        self._acting: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Answer:
        """The answer to this item. Raises what `act` raised."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[answered] = item
        if self._driver is None:
            self._driver = asyncio.create_task(self._drive())
        return await answered

    async def _drive(self) -> None:
        """Batch after batch, until nothing waits."""
        while batch := self._next():
            acting = asyncio.create_task(self._hand_on(batch))
            self._acting.add(acting)
            acting.add_done_callback(self._acting.discard)
            await asyncio.wait([acting], timeout=HOLD_UP_SECONDS)
        self._driver = None

    async def _hand_on(self, batch: "Mapping[asyncio.Future[Answer], Item]") -> None:
        """Tell each its answer; one that is done already was cancelled by whoever asked."""
        try:
            answers = await self._act(list(batch.values()))
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            for answered in batch:
                if not answered.done():
                    answered.set_exception(error)
            return
        for answered, answer in zip(batch, answers, strict=True):
            if not answered.done():
                answered.set_result(answer)

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
