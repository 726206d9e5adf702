"""Real processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from simulator import INSTANT, Settings
from tests.system.proxied import CHATTY, OwnServers, Proxied, own_servers, proxied
from tests.system.stack import Beginning, Stack, stack

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]
MakeProxied = Callable[..., AbstractAsyncContextManager[Proxied]]


@pytest.fixture
def make_stack(database: str, redis_url: str, tmp_path: Path) -> MakeStack:
    """`async with make_stack(carrier settings, VARIABLE=…) as s`: for tests that need other settings."""

    def make(
        carrier: Settings = INSTANT, beginning: Beginning = "warm", /, **environment: str
    ) -> AbstractAsyncContextManager[Stack]:
        return stack(database, redis_url, tmp_path, carrier, beginning, **environment)

    return make


@pytest.fixture
async def system(make_stack: MakeStack) -> AsyncIterator[Stack]:
    """Control and an instant carrier; add daemons."""
    async with make_stack() as made:
        yield made


@pytest.fixture
def make_proxied(database: str, redis_url: str, tmp_path: Path) -> MakeProxied:
    """`async with make_proxied(carrier settings, VARIABLE=…) as p`: the ways to the servers can be broken."""

    def make(carrier: Settings = CHATTY, **environment: str) -> AbstractAsyncContextManager[Proxied]:
        return proxied(database, redis_url, tmp_path, carrier, **environment)

    return make


@pytest.fixture
def killable() -> Iterator[OwnServers]:
    """Servers of this test alone, which it may kill."""
    with own_servers() as servers:
        yield servers
