"""How long is a free slot idle? `python -m bench.handoff [--calls 300] [--limit 3] [--talk 0.2] [--runs 5]`

One business, real processes, real Postgres with durable commits, real Valkey, the simulator: from the moment
the carrier sends the callback that ends a call to the moment the next create request reaches the carrier.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg

from dialer.embedded import EmbeddedServers, start
from simulator import INSTANT
from sql.migrate import migrate
from tests.support.servers import reachable_directory
from tests.system.stack import Stack, numbers, stack


@dataclass(frozen=True)
class Figures:
    """Of one run; times in milliseconds, `slot_time_used` a share of 1."""

    p50: float
    p95: float
    p99: float
    slot_time_used: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.handoff", description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--talk", type=float, default=0.2, help="seconds that a call lasts")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with reachable_directory() as directory, start(directory, fsync=True) as servers:
        runs = [asyncio.run(measure(servers, n, options)) for n in range(options.runs)]
    _show(runs, options)
    return 0


async def measure(servers: EmbeddedServers, number: int, options: argparse.Namespace) -> Figures:
    """One run on a database of its own."""
    database = await _database(servers.dsn, f"handoff_{number}")
    with tempfile.TemporaryDirectory() as logs:
        carrier = INSTANT.changed({"talk_seconds": options.talk, "digits_decide": False})
        async with stack(database, servers.redis_url, Path(logs), carrier) as system:
            await system.daemon()
            run = await system.start(await system.business(limit=options.limit), list(numbers(options.calls)))
            await system.ended(run, timeout=120 + options.calls * options.talk)
            await system.check(run, limit=options.limit)
            return _figures(system, options.limit)


def _figures(system: Stack, limit: int) -> Figures:
    ledger = system.sim.ledger
    creates = sorted(ledger.create_times())
    ends = sorted(d.sent for d in ledger.terminal_deliveries() if d.sent is not None)
    # The n-th end makes room for the create that is `limit` later.
    idle = sorted(1000 * (create - end) for end, create in zip(ends, creates[limit:], strict=False))
    busy = sum(min(c.ended or creates[-1], creates[-1]) - c.created for c in ledger.calls.values())
    used = busy / (limit * (creates[-1] - creates[0]))
    return Figures(_rank(idle, 0.5), _rank(idle, 0.95), _rank(idle, 0.99), used)


def _rank(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


async def _database(dsn: str, name: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    made = dsn.replace("/postgres?", f"/{name}?")
    await migrate(made)
    return made


def _show(runs: list[Figures], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps([asdict(run) for run in runs]))
        return
    print(f"{options.calls} calls of {options.talk * 1000:.0f} ms at limit {options.limit}, {options.runs} runs")
    print(f"{'':18}{'median':>10}{'least':>10}{'most':>10}")
    for name, unit in (("p50", "ms"), ("p95", "ms"), ("p99", "ms"), ("slot_time_used", "")):
        values = [getattr(run, name) for run in runs]
        row = "".join(f"{value:>10.3f}" for value in (statistics.median(values), min(values), max(values)))
        print(f"{name:<15}{unit:>3}{row}")


if __name__ == "__main__":
    sys.exit(main())
