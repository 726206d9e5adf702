"""A minute of it in every run of the tests, and some seconds on other servers, each time with another seed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.soak.course import soak
from tests.soak.places import Kinds
from tests.support import tools


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_minute_of_everything(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
    print(f"SOAK_SEED={seed}")
    result = await soak(1.0, seed, tmp_path)
    print(result.table())
    assert result.violations == [], seed


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_the_same_for_a_while_on_a_cluster_and_behind_a_pooler(tmp_path: Path) -> None:
    """Both at once, for the sake of the time; each by itself: `make soak REDIS=cluster`, `DATABASE=pgbouncer`."""
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
    pooled = tools.find("pgbouncer") is not None
    print(f"SOAK_SEED={seed}")
    result = await soak(0.25, seed, tmp_path, Kinds("cluster", "pgbouncer" if pooled else "direct"))
    print(result.table())
    assert result.violations == [], seed
    if not pooled:
        pytest.skip("nothing was violated on the cluster; pgbouncer is not here and could not be fetched")
