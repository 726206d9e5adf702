from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two small migrations."""
    (tmp_path / "0001_pens.sql").write_text("CREATE TABLE pens (id int);\nINSERT INTO pens VALUES (1);\n")
    (tmp_path / "0002_inks.sql").write_text("CREATE TABLE inks (id int);\n")
    return tmp_path


@pytest_asyncio.fixture
async def onlooker(empty_database: str) -> AsyncIterator[Any]:
    """A connection to the database that is migrated."""
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()
