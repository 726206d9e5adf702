"""A stack whose processes reach Postgres, Redis and the carrier through proxies, where a test breaks the way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from dialer.embedded import start
from simulator import INSTANT
from simulator import Settings as CarrierSettings
from tests.support.databases import Databases
from tests.support.proxy import Proxy, proxy_before
from tests.support.servers import reachable_directory
from tests.support.waiting import eventually
from tests.system.stack import Process, Stack, stack

# Calls of a tenth of a second that everybody answers.
CHATTY = INSTANT.changed({"talk_seconds": 0.1, "digits_decide": False})
# What is silent or unknown is looked up within seconds.
SETTLE_SOON = {
    "CALL_SILENT_AFTER_SECONDS": "1",
    "UNKNOWN_AFTER_SECONDS": "1",
    "CARRIER_LIST_LAG_SECONDS": "1",
    "TWILIO_TIMEOUT_SECONDS": "1.5",
}
SHORT = {"ring_timeout_seconds": 1, "call_time_limit_seconds": 5}


@dataclass
class Proxied:
    """A stack, and the three ways that can be broken. The test's own connections go past them."""

    system: Stack
    postgres: Proxy
    redis: Proxy
    carrier: Proxy

    @property
    def creates(self) -> int:
        return len(self.system.sim.ledger.arrivals)

    async def dials_on(self, more: int = 5, within: float = 5.0) -> None:
        """So many more creates arrive, within seconds.

        While no hint is heard, a slot that came free is seen by a comparison alone: after one to two seconds.
        """
        wanted = self.creates + more
        assert await self.system.sim.wait_for(lambda: self.creates >= wanted, within), (
            f"{self.creates} creates of {wanted}, {within} s later"
        )

    async def degraded(self) -> int:
        """How many daemons say that Redis is away."""
        asked = "SELECT count(*) FROM dialer_daemons WHERE ended_at IS NULL AND redis_degraded"
        return int(await self.system.db.fetchval(asked))


@asynccontextmanager
async def proxied(
    database: str, redis_url: str, directory: Path, carrier: CarrierSettings = CHATTY, **environment: str
) -> AsyncIterator[Proxied]:
    """A carrier, control, the proxies, and no daemon yet."""
    async with proxy_before(database) as postgres, proxy_before(redis_url) as redis:
        through = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, **environment}
        async with (
            stack(database, redis_url, directory, carrier, "warm", **through) as system,
            proxy_before(system.sim.url) as way,
        ):
            system.environment["TWILIO_API_BASE_URL"] = way.url
            try:
                yield Proxied(system, postgres, redis, way)
            finally:
                await system.db.close()  # another one than the stack opened, once Postgres was restarted


@dataclass(frozen=True)
class OwnServers:
    """Servers of one test, that may be killed: their keeper starts them again at the same address."""

    home: Path
    database: str
    redis_url: str

    def pid(self, server: str) -> int:
        """Of `postgres` or `valkey`, as it runs now."""
        return int(json.loads((self.home / "keeper.json").read_text())[server])

    def send(self, server: str, number: signal.Signals) -> None:
        os.kill(self.pid(server), number)

    async def restart_postgres(self, system: Stack, number: signal.Signals) -> None:
        """End it by a signal; returns when it answers again, to the test too."""
        before = self.pid("postgres")
        self.send("postgres", number)
        await eventually(lambda: self.pid("postgres") != before, timeout=20)
        system.db = await eventually(lambda: reached(self.database), timeout=20, interval=0.05)


async def reached(database: str) -> Any:
    """A connection, or None while there is nobody."""
    try:
        return await asyncpg.connect(database, timeout=2)
    except (OSError, asyncpg.PostgresError):
        return None


@contextmanager
def own_servers() -> Iterator[OwnServers]:
    """A PostgreSQL with a migrated database, and a Valkey."""
    with reachable_directory(durable=False) as home, start(home, fsync=False) as running:
        databases = Databases(running.dsn)
        try:
            database = databases.create_migrated()
        finally:
            databases.close()
        yield OwnServers(home, database, running.redis_url)


def take_overs(processes: list[Process]) -> int:
    """How many claims were of a run that somebody had held before."""
    return sum(len(p.events("RUN_RESUMED")) for p in processes)


async def gone_by(process: Process, seconds: float) -> float:
    """Seconds until it has ended; it must within `seconds`."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    await process.ends(timeout=seconds)
    return loop.time() - asked
