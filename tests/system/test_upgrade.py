"""An upgrade while calls are made: the oldest version that is supported beside today's, on one database."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulator import INSTANT
from sql.migrate import Applied, current_version, migrate, required_version
from tests.system.proxied import SETTLE_SOON, SHORT
from tests.system.quiet import slots_are_free
from tests.system.stack import Process, Stack, numbers, stack

# Whoever raises it drops the support of what was before: see docs/upgrading.md.
OLDEST = "6c03382b19c3d38a5d0a3b220899abb18df711e1"
OLDEST_SCHEMA = 11
TOP = Path(__file__).parents[2]
LIMIT = 2
CARRIER = INSTANT.changed({"talk_seconds": 0.3, "digits_decide": False})
TODAY = {"PYTHONPATH": "", "PYTHONSAFEPATH": ""}


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which `python -m …` runs the oldest version, with the libraries of today."""
    tree = tmp_path_factory.mktemp("oldest")
    if shutil.which("git") is None or _git("cat-file", "-e", f"{OLDEST}^{{commit}}").returncode:
        pytest.skip(f"commit {OLDEST[:7]} is not at hand: this is no clone, or a shallow one")
    archive = _git("archive", OLDEST).stdout
    subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
    # Without the safe path the current directory would come first, which is today's tree.
    environment = {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    asked = "import dialer, control, sql; print(dialer.__file__, control.__file__, sql.__file__)"
    found = subprocess.run([sys.executable, "-c", asked], env={**os.environ, **environment}, capture_output=True)
    assert found.stdout.decode().count(str(tree)) == 3, found
    return environment


def _git(*command: str) -> subprocess.CompletedProcess[bytes]:
    # The clone may belong to another user than the tests run as.
    return subprocess.run(["git", "-c", f"safe.directory={TOP}", "-C", TOP, *command], capture_output=True)


class Upgrade:
    """The steps of one, each with a new run that is being dialed before and after."""

    def __init__(self, system: Stack, database: str) -> None:
        self._system = system
        self._database = database
        self._phones = numbers(500)
        self._daemon: Process | None = None
        self.runs: list[int] = []

    async def some_calls(self) -> None:
        """Another run is started, and this and others are dialed."""
        business = await self._system.business(limit=LIMIT)
        phones = [next(self._phones) for _ in range(12)]
        self.runs.append(await self._system.start(business, phones, **SHORT))
        arrivals = self._system.sim.ledger.arrivals
        wanted = len(arrivals) + 4
        assert await self._system.sim.wait_for(lambda: len(arrivals) >= wanted, 10)

    async def begin(self) -> None:
        self._daemon = await self._system.daemon()

    async def schema(self) -> None:
        before = await current_version(self._system.db)
        assert before == OLDEST_SCHEMA
        # Exactly what `dialer migrate` does, while the old ones work.
        assert await migrate(self._database) == Applied(tuple(range(before + 1, required_version() + 1)))

    async def daemon(self) -> None:
        """Today's joins, then the old one drains."""
        old, self._daemon = self._daemon, await self._system.daemon(**TODAY)
        assert old is not None
        await self.some_calls()
        old.send(signal.SIGTERM)
        assert await old.ends() == 0

    async def control(self) -> None:
        """The old one ends, today's takes its place at the same address; callbacks meanwhile come again."""
        old = self._system.control
        assert old is not None
        old.send(signal.SIGTERM)
        assert await old.ends() == 0
        port = self._system.url.rpartition(":")[2]
        self._system.control = self._system.spawn("control", CONTROL_PORT=port, **TODAY)
        await self._system.control.started()
        await self._system.is_ready()


ORDERS: dict[str, tuple[Callable[[Upgrade], Awaitable[None]], ...]] = {
    "daemon first": (Upgrade.schema, Upgrade.daemon, Upgrade.control),
    "control first": (Upgrade.schema, Upgrade.control, Upgrade.daemon),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_nothing_is_lost_or_doubled_by_an_upgrade(
    oldest: dict[str, str], empty_database: str, redis_url: str, redis: object, tmp_path: Path, order: str
) -> None:
    assert isinstance(
        await migrate(empty_database, directory=Path(oldest["PYTHONPATH"]) / "sql/migrations"), Applied
    )
    async with stack(empty_database, redis_url, tmp_path, CARRIER, **oldest, **SETTLE_SOON) as system:
        upgrade = Upgrade(system, empty_database)
        await upgrade.begin()
        await upgrade.some_calls()
        for step in ORDERS[order]:
            await step(upgrade)
            await upgrade.some_calls()
        for run in upgrade.runs:
            shown = await system.ended(run)
            assert (shown["status"], shown["completed"]) == ("completed", shown["total"])
        assert set(system.sim.ledger.calls_per_number().values()) == {1}
        await slots_are_free(system, redis)
        await system.check(*upgrade.runs)
