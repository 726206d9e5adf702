"""Edges against the real thing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from dialer.edges.slots import Slots

Join = Callable[..., Slots]


@pytest.fixture
def namespace() -> str:
    return uuid.uuid4().hex


@pytest_asyncio.fixture
async def join(redis_url: str, namespace: str) -> AsyncIterator[Join]:
    """Make another daemon's view of the same slots."""
    opened: list[Slots] = []

    def another(**settings: int) -> Slots:
        opened.append(Slots(redis_url, namespace, uuid.uuid4(), **settings))
        return opened[-1]

    yield another
    for slots in opened:
        await slots.close()
