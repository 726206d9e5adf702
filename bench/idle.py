"""What do a daemon and a control cost that have nothing to do? `python -m bench.idle [--seconds 6] [--runs 5]`

Processor time as the system counts it, in percent of one core, and transactions a second as Postgres counts them (each
is one statement), in the intervals of real life; so many times so many seconds, control alone and with a daemon.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.ground import Line, arguments, durable_servers, migrated_database, show
from dialer.embedded import EmbeddedServers
from tests.system.stack import stack

SETTLE_SECONDS = 5.0


def main() -> int:
    parser = arguments("idle", __doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    with durable_servers() as servers:
        lines = asyncio.run(measure(servers, options.runs, options.seconds))
    show(f"nothing to do, {options.runs} times {options.seconds:.0f} s", lines, as_json=options.json)
    return 0


async def measure(servers: EmbeddedServers, runs: int, seconds: float) -> list[Line]:
    database = await migrated_database(servers.dsn, "idle")
    with tempfile.TemporaryDirectory() as logs:
        async with stack(
            database, servers.redis_url, Path(logs), HEARTBEAT_INTERVAL_SECONDS="1", TAKEOVER_AFTER_SECONDS="6"
        ) as system:
            assert system.control is not None
            pids = [system.control.popen.pid]
            await asyncio.sleep(SETTLE_SECONDS)
            alone = [await _watched(system.db, pids, seconds) for _ in range(runs)]
            pids.append((await system.daemon()).popen.pid)
            await asyncio.sleep(SETTLE_SECONDS)
            both = [await _watched(system.db, pids, seconds) for _ in range(runs)]
    by_control = statistics.median(transactions for _, transactions in alone)
    return [
        Line("control", "% core", [shares[0] for shares, _ in alone]),
        Line("daemon", "% core", [shares[1] for shares, _ in both]),
        Line("control: transactions a second", "", [transactions for _, transactions in alone]),
        Line("daemon: transactions a second", "", [transactions - by_control for _, transactions in both]),
    ]


async def _watched(db: Any, pids: list[int], seconds: float) -> tuple[list[float], float]:
    """Of each process the share of a core; and the database's transactions a second, our own look apart."""
    before, began = await _transactions(db), [processor_seconds(pid) for pid in pids]
    await asyncio.sleep(seconds)
    shares = [100 * (processor_seconds(pid) - start) / seconds for pid, start in zip(pids, began, strict=True)]
    return shares, (await _transactions(db) - before) / seconds


async def _transactions(db: Any) -> int:
    await db.execute("SELECT pg_stat_force_next_flush()")
    await db.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await db.fetchval(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    )
    return count


def processor_seconds(pid: int) -> float:
    """Of all its threads, by the scheduler's own count: ticks would be too coarse for so little."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


if __name__ == "__main__":
    sys.exit(main())
