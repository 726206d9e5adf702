"""Control over a fresh database, listening on loopback."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from control.app import build
from tests.control.house import House, settings_for


@pytest.fixture
def open_house(pool: Any, aiohttp_client: AiohttpClient) -> Callable[..., Awaitable[House]]:
    """Start control with these settings. It may not be ready: see House.ready.

    It is closed before the database goes (`pool` is the older fixture).
    """

    async def open_one(database: str, redis_url: str, **settings: str) -> House:
        return House(await aiohttp_client(build(settings_for(database, redis_url, **settings))), pool)

    return open_one


@pytest.fixture
async def house(open_house: Callable[..., Awaitable[House]], database: str, redis_url: str) -> House:
    return await (await open_house(database, redis_url)).ready()
