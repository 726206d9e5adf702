"""A load through the bare programs of bench/floor.py, with the same servers and the same carrier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from bench.floor import SCHEMA, bare_process
from bench.ground import new_database
from dialer.embedded import EmbeddedServers
from simulator import Simulator
from simulator.ledger import Ledger
from simulator.settings import Settings as CarrierSettings
from tests.support.waiting import eventually


@asynccontextmanager
async def bare_calls(
    servers: EmbeddedServers,
    name: str,
    carrier: CarrierSettings,
    *,
    calls: int,
    limit: int,
    batched: bool = False,
    within_seconds: float,
) -> AsyncIterator[Ledger]:
    """The ledger of so many calls, `limit` at a time, on a database of their own."""
    database = await new_database(servers.dsn, name)
    connection = await asyncpg.connect(database)
    await connection.execute(SCHEMA)
    await connection.close()
    settings = {"DATABASE_URL": database, "REDIS_URL": servers.redis_url, "BATCHED": "1" if batched else ""}
    async with Simulator(carrier).serve() as sim:
        settings |= {"CARRIER": sim.url, "ACCOUNT": sim.settings.account_sid, "TOKEN": sim.settings.auth_token}
        settings |= {"CALLS": str(calls), "LIMIT": str(limit)}
        async with (
            bare_process("control", settings) as url,
            bare_process("dialer", {**settings, "CALLBACKS": url}),
        ):
            await eventually(lambda: ended(sim.ledger) >= calls, timeout=within_seconds, interval=0.1)
            yield sim.ledger


def ended(ledger: Ledger) -> int:
    """How many calls have ended."""
    return sum(call.ended is not None for call in ledger.calls.values())
