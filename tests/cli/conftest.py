"""A server for commands that talk over HTTP, and a place that embedded servers can use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cli.listening import Server, listening
from tests.support.servers import reachable_directory


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with listening() as one:
        yield one


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that also `nobody`'s servers can enter. Its name is nowhere else on this machine."""
    with reachable_directory() as directory:
        yield directory
