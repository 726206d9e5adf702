"""What the carrier says of calls, into Postgres: in batches when much comes at once, and never one bad apple for all.

Control's callbacks and the daemon's answers take this way alike; each brings its own connections.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dialer.batches import Batches
from dialer.rules.model import CarrierEvent, Fact

MOST_IN_A_BATCH = 64

# Takes nothing in, but a connection that has run it once runs it in a tenth of the time.
NO_EVENTS = ("take_plain_events", *([] for _ in CarrierEvent._fields))

# Runs a named statement.
Rows = Callable[..., Awaitable[Sequence[Any]]]


class Intake:
    """Takes events in. All statements are facts, guarded by state: taking one twice is taking it once."""

    def __init__(self, rows: Rows, *, take_apart_on: tuple[type[Exception], ...]) -> None:
        """`take_apart_on`: failures that tell of one event in a batch, not of the database."""
        self._rows = rows
        self._take_apart_on = take_apart_on
        self._batches: Batches[CarrierEvent, Fact | None] = Batches(
            self._take_together, key=lambda event: event.attempt_id, most=MOST_IN_A_BATCH
        )

    async def take(self, event: CarrierEvent) -> Fact:
        """What became of the event, once it is committed. Raises what `rows` raises."""
        return await self._batches.add(event) or await self._take_alone(event)

    async def _take_together(self, events: Sequence[CarrierEvent]) -> Sequence[Fact | None]:
        """None: take this one alone. It is not plain (see take_plain_events), or the batch did not go through."""
        if len(events) == 1:
            return [await self._take_alone(events[0])]
        facts: list[Fact | None] = [None] * len(events)
        try:
            rows = await self._rows("take_plain_events", *([*column] for column in zip(*events, strict=True)))
        except self._take_apart_on:
            return facts
        for row in rows:
            n, *fact = row.values()
            facts[n - 1] = Fact(*fact)
        return facts

    async def _take_alone(self, event: CarrierEvent) -> Fact:
        [row] = await self._rows("take_carrier_event", *event)
        return Fact(*row.values())
