"""How long is a free slot idle? `python -m bench.handoff [--calls 300] [--limit 3] [--talk 0.2] [--runs 5]`

One business, real processes, real Postgres with durable commits, real Valkey, the simulator: from the moment
the carrier sends the callback that ends a call to the moment the next create request reaches the carrier.
Beside it, in turn, the floor (bench/floor.py): two bare programs that make the same commits, trips and requests.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.bare import bare_calls
from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from dialer.embedded import EmbeddedServers
from simulator import INSTANT
from simulator.ledger import Ledger
from simulator.settings import Settings as CarrierSettings
from tests.system.stack import numbers, stack


@dataclass(frozen=True)
class Figures:
    """Of one run; times in milliseconds, `slot_time_used` a share of 1."""

    p50: float
    p95: float
    p99: float
    slot_time_used: float


def main() -> int:
    parser = arguments("handoff", __doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--talk", type=float, default=0.2, help="seconds that a call lasts")
    options = parser.parse_args()
    ours, floor = [], []
    with durable_servers() as servers:
        for n in range(options.runs):
            floor.append(asyncio.run(measure_floor(servers, n, options)))
            ours.append(asyncio.run(measure(servers, n, options)))
    title = f"{options.calls} calls of {options.talk * 1000:.0f} ms at limit {options.limit}, {options.runs} runs"
    lines = [
        Line(name, unit, [getattr(f, name) for f in ours], [getattr(f, name) for f in floor])
        for name, unit in (("p50", "ms"), ("p95", "ms"), ("p99", "ms"), ("slot_time_used", ""))
    ]
    show(title, lines, as_json=options.json)
    return 0


def carrier(options: argparse.Namespace) -> CarrierSettings:
    return INSTANT.changed({"talk_seconds": options.talk, "digits_decide": False})


async def measure(servers: EmbeddedServers, number: int, options: argparse.Namespace) -> Figures:
    """One run on a database of its own."""
    database = await migrated_database(servers.dsn, f"handoff_{number}")
    with tempfile.TemporaryDirectory() as logs:
        async with stack(database, servers.redis_url, Path(logs), carrier(options)) as system:
            await system.daemon()
            run = await system.start(await system.business(limit=options.limit), list(numbers(options.calls)))
            await system.ended(run, timeout=120 + options.calls * options.talk)
            await system.check(run, limit=options.limit)
            return _figures(system.sim.ledger, options.limit)


async def measure_floor(servers: EmbeddedServers, number: int, options: argparse.Namespace) -> Figures:
    """The same calls by the bare programs."""
    within = 120 + options.calls * options.talk
    async with bare_calls(
        servers,
        f"floor_{number}",
        carrier(options),
        calls=options.calls,
        limit=options.limit,
        within_seconds=within,
    ) as ledger:
        return _figures(ledger, options.limit)


def _figures(ledger: Ledger, limit: int) -> Figures:
    creates = sorted(ledger.create_times())
    ends = sorted(d.sent for d in ledger.terminal_deliveries() if d.sent is not None)
    # The n-th end makes room for the create that is `limit` later.
    idle = sorted(1000 * (create - end) for end, create in zip(ends, creates[limit:], strict=False))
    busy = sum(min(c.ended or creates[-1], creates[-1]) - c.created for c in ledger.calls.values())
    used = busy / (limit * (creates[-1] - creates[0]))
    return Figures(rank(idle, 0.5), rank(idle, 0.95), rank(idle, 0.99), used)


if __name__ == "__main__":
    sys.exit(main())
