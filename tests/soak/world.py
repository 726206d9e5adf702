"""The world of a soak: servers that may be killed, a carrier, controls, daemons; and what is known of them."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from simulator import Settings as CarrierSettings
from simulator import Simulator
from tests.soak.places import Kinds, SoakedRedis, Ways, before_postgres, soaked_redis
from tests.support.pooler import Pooler, statement_cache
from tests.support.proxy import proxy_before
from tests.system.proxied import OwnServers, own_servers
from tests.system.stack import QUICK, TOKEN, Process, Stack

CARRIER = CarrierSettings(
    queue_seconds=0.02,
    setup_seconds=0.05,
    ring_seconds=0.1,
    no_answer_seconds=0.4,
    talk_seconds=0.5,
    recording_seconds=0,
    jitter=0.8,
    callback_jitter_seconds=0.1,
    callback_limit_seconds=5,
    list_lag_seconds=0.5,
    fetch_lag_seconds=0.2,
)
RING_SECONDS, TIME_LIMIT_SECONDS, LAG_SECONDS = 2, 5, 5
SETTINGS = {
    **QUICK,
    # All that can hold a create up, one after the other, must fit into ring time-out + lag: an attempt whose
    # request may still be on its way must not be given up. In life that is 31 seconds against 120.
    "TWILIO_TIMEOUT_SECONDS": "1.5",
    "CARRIER_LIST_LAG_SECONDS": str(LAG_SECONDS),
    "UNKNOWN_AFTER_SECONDS": "1",
    "CALL_SILENT_AFTER_SECONDS": "1",
    "TWILIO_CALLS_PER_SECOND": "40",
    "RATE_LIMIT_PER_SECOND": "1000",
    "DIALER_ADMIN_TOKEN": TOKEN,
}
LIMITS = (2, 4, 6)
OWN_NAME = "soak"
OWN_CONNECTIONS: dict[str, Any] = {
    "min_size": 0,
    "max_size": 4,
    "timeout": 2,
    "command_timeout": 5,
    "server_settings": {"application_name": OWN_NAME},
}


@dataclass(frozen=True)
class Business:
    """A tenant; its calls are known at the carrier by their From number."""

    business_id: int
    from_number: str


@dataclass
class World:
    """What acts act on. `tally` counts them by kind; `busy` names what is broken; `wrong` is what was seen."""

    servers: OwnServers
    system: Stack
    redis: SoakedRedis
    pooler: Pooler | None
    ways: dict[str, Ways]
    chance: random.Random
    tally: Counter[str] = field(default_factory=Counter)
    busy: set[str] = field(default_factory=set)
    daemons: list[Process] = field(default_factory=list)
    controls: list[Process] = field(default_factory=list)
    businesses: list[Business] = field(default_factory=list)
    # Business -> (moment, limit): every limit seen in the table or asked for.
    limits: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    # Run -> the database's time after the answer to a stop: from then on, no intent.
    stopped: dict[int, Any] = field(default_factory=dict)
    server_killed_at: float = float("-inf")
    phones: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def sim(self) -> Simulator:
        return self.system.sim

    @property
    def urls(self) -> list[str]:
        """Of the controls: the first is the one that the carrier calls back."""
        return [self.system.url, self.system.environment["SECOND_URL"]]

    def spawn_daemon(self) -> Process:
        process = self.system.spawn("dialer")
        self.daemons.append(process)
        return process

    def spawn_control(self, number: int) -> None:
        """The first or the second control, again, on its port."""
        port = self.urls[number].rpartition(":")[2]
        self.controls[number] = self.system.spawn("control", CONTROL_PORT=port)

    def next_phones(self, count: int) -> list[str]:
        """Numbers never used before; most are answered, some are busy, bad, or a machine."""
        made = []
        for _ in range(count):
            self.phones += 1
            n, ending = self.phones, self.chance.choice([*[10] * 12, 82, 86, 91, 96, 98, 99])
            made.append(f"+1212{200 + n // 100 % 700:03d}{n % 100:02d}{ending:02d}")
        return made


@asynccontextmanager
async def world(chance: random.Random, logs: Path, kinds: Kinds) -> AsyncIterator[World]:
    """Servers, carrier, two controls and two daemons, and the businesses. All but the logs is gone at the end."""
    with own_servers() as servers, before_postgres(kinds.database, servers.database, logs) as (dsn, pooler):
        async with (
            Simulator(CARRIER.changed({"seed": chance.randrange(10**6)})).serve() as sim,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=6)) as http,
            proxy_before(dsn) as postgres,
            soaked_redis(kinds.redis, servers, chance) as redis,
            proxy_before(sim.url) as carrier,
            asyncpg.create_pool(servers.database, **OWN_CONNECTIONS) as db,
        ):
            environment = {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "TWILIO_ACCOUNT_SID": sim.settings.account_sid,
                "TWILIO_AUTH_TOKEN": sim.settings.auth_token,
                "TWILIO_API_BASE_URL": carrier.url,
                **SETTINGS,
                **({"DATABASE_STATEMENT_CACHE_SIZE": statement_cache()} if pooler else {}),
            }
            system = Stack(sim, db, environment, logs, http, "warm")
            ways = {"postgres": Ways([postgres], chance), "redis": redis.way, "carrier": Ways([carrier], chance)}
            made = World(servers, system, redis, pooler, ways, chance)
            watcher = asyncio.create_task(watch_limits(made))
            try:
                await _populate(made)
                yield made
            finally:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
                for process in system.processes:
                    process.send(signal.SIGCONT)
                system.close()


async def _populate(made: World) -> None:
    system = made.system
    made.controls.append(await system.start_control())
    second = system.spawn("control", CONTROL_PORT="0")
    made.controls.append(second)
    system.environment["SECOND_URL"] = (await second.started())["url"]
    for _ in range(2):
        await made.spawn_daemon().started()
    for number, limit in enumerate(LIMITS):
        from_number = f"+1500555002{number}"
        made.businesses.append(Business(await system.business(limit, from_number=from_number), from_number))


async def watch_limits(made: World) -> None:
    """See every limit that is in force: a change whose answer was lost may come late."""
    while True:
        try:
            rows = await made.system.db.fetch("SELECT id, max_concurrent_calls FROM businesses")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            rows = []
        for row in rows:
            seen = made.limits.setdefault(row["id"], [])
            if not seen or seen[-1][1] != row["max_concurrent_calls"]:
                seen.append((time.monotonic(), row["max_concurrent_calls"]))
        await asyncio.sleep(0.05)
