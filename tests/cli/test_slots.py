"""`dialer slots`: both sides as they are, what drifted, and that reconciling mends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

import sql
from dialer import config
from dialer.cli.reach import with_embedded
from dialer.config import secret
from dialer.embedded import find
from tests.cli.control import rows
from tests.cli.running import Said, dialer
from tests.support.runs import Worker, add_business, add_run


@dataclass(frozen=True)
class Both:
    """A business with two live attempts, on whose slots Redis has its own view."""

    environment: dict[str, str]
    business: int
    attempts: list[UUID]

    async def tell(self, *arguments: str) -> Said:
        said = await dialer("slots", *arguments, more=self.environment)
        assert said.code == 0, said.err
        return said

    async def listed(self, *arguments: str) -> dict[int, tuple[Any, ...]]:
        """Slot -> (Redis, Postgres, state)."""
        found = json.loads((await self.tell("list", "--json", *arguments)).out)
        return {one["slot"]: (one["redis"], one["postgres"], one["state"]) for one in found}


@pytest.fixture
async def both(pool: Any, database: str, redis_url: str) -> Both:
    business = await add_business(pool)
    run = await add_run(pool, business, 3)
    worker = await Worker.join(pool)
    await worker.claim()
    attempts = [row["attempt_id"] for row in await worker.intend(run.run_id, [1, 2])]
    return Both({"DATABASE_URL": database, "REDIS_URL": redis_url}, business, attempts)


async def hold(redis: Redis, pool: Any, business: int, *held: tuple[int, UUID]) -> None:
    """Redis shows these, and has for a while: as after a restore of an old copy."""
    namespace = str(await pool.fetchval(sql.query("installation")))
    for slot, attempt in held:
        key = f"dialer:{{{namespace}:{business}}}:held"
        await redis.hset(key, mapping={"generation": "old", str(slot): f"{attempt}|1000|0"})


async def test_what_drifted_is_shown_and_mended(both: Both, redis: Redis, pool: Any) -> None:
    one, two = map(str, both.attempts)
    ghost = uuid4()
    await hold(redis, pool, both.business, (1, both.attempts[0]), (3, ghost))
    assert await both.listed() == {
        1: (one, one, "same"),
        2: (None, two, "missing"),
        3: (str(ghost), None, "left behind"),
    }
    drifted = await both.tell("list", "--drifted", "--business", str(both.business))
    assert [row[1] for row in rows(drifted)] == ["2", "3"]
    assert drifted.err == "3 slots are held, 2 drifted\n"
    assert rows(await both.tell("reconcile")) == [[str(both.business), "1", "1", "False", "2"]]
    assert {slot: seen[2] for slot, seen in (await both.listed()).items()} == {1: "same", 2: "same"}
    (again,) = json.loads((await both.tell("reconcile", "--json")).out)
    assert (again["removed"], again["added"]) == (0, 0), "the second time nothing is left to do"


async def test_nobody_there_and_nothing_set(both: Both) -> None:
    for more, why in (
        ({**both.environment, "REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL"),
        ({**both.environment, "DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "DATABASE_URL"),
    ):
        said = await dialer("slots", "list", more=more)
        assert (said.code, said.out) == (1, "")
        assert f"{why}) does not answer" in said.err
    unset = await dialer("slots", "list", DIALER_DATA_DIR="/nowhere")
    assert (unset.code, "DATABASE_URL: must be set" in unset.err) == (2, True)


def test_servers_that_somebody_else_runs_here_are_found(data_dir: Path, tmp_path: Path) -> None:
    assert find(data_dir) is None
    moved, sockets = tmp_path / "moved", tmp_path / "sockets"
    moved.mkdir()
    (data_dir / "moved-to").write_text(f"{moved}\n")
    (moved / "keeper.json").write_text(json.dumps({"keeper": 1, "sockets": str(sockets)}))
    assert find(data_dir) is None, "they were killed"
    sockets.mkdir()
    reached = with_embedded(config.load({"DIALER_DATA_DIR": str(data_dir), "REDIS_URL": "redis://elsewhere/0"}))
    assert secret(reached.database_url).startswith("postgresql://dialer@/")
    assert secret(reached.redis_url) == "redis://elsewhere/0", "what is set counts"
    assert find(data_dir) == (f"postgresql://dialer@/postgres?host={sockets}", f"unix://{sockets}/valkey.sock")
