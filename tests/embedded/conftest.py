from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import reachable_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory for a keeper of the test's own."""
    with reachable_directory() as made:
        yield made
