"""The installation that is examined."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.cli.control import Control
from tests.cli.doctor.clinic import Clinic, open_clinic


@pytest_asyncio.fixture
async def clinic(control: Control, database: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Clinic]:
    async with open_clinic(control.house, control.url, database, redis_url, tmp_path) as one:
        yield one
