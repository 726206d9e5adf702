"""Servers for commands that talk over HTTP, and a place that embedded servers can use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pytest_aiohttp.plugin import AiohttpClient

from control.app import build
from tests.cli.control import Control
from tests.cli.listening import Server, listening
from tests.control.house import House, settings_for
from tests.support.servers import reachable_directory


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with listening() as one:
        yield one


@pytest_asyncio.fixture
async def control(database: str, redis_url: str, pool: Any, aiohttp_client: AiohttpClient) -> Control:
    """A real control over a fresh database. It is closed before the database goes (`pool` is older)."""
    client = await aiohttp_client(build(settings_for(database, redis_url)))
    return Control(await House(client, pool).ready(), str(client.make_url("")).rstrip("/"))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that also `nobody`'s servers can enter. Its name is nowhere else on this machine."""
    with reachable_directory() as directory:
        yield directory
