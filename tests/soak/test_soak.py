"""A minute of it in every run of the tests, each time with another seed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.soak.course import soak


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_minute_of_everything(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
    print(f"SOAK_SEED={seed}")
    result = await soak(1.0, seed, tmp_path)
    print(result.table())
    assert result.violations == [], seed
