"""Real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from simulator import INSTANT, Settings
from tests.system.stack import Stack, stack

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]


@pytest.fixture
def make_stack(database: str, redis_url: str, tmp_path: Path) -> MakeStack:
    """`async with make_stack(carrier settings, VARIABLE=…) as s`: for tests that need other settings."""

    def make(carrier: Settings = INSTANT, **environment: str) -> AbstractAsyncContextManager[Stack]:
        return stack(database, redis_url, tmp_path, carrier, **environment)

    return make


@pytest.fixture
async def system(make_stack: MakeStack) -> AsyncIterator[Stack]:
    """Control and an instant carrier; add daemons."""
    async with make_stack() as made:
        yield made
