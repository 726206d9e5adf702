"""What do a daemon and a control cost that have nothing to do? `python -m bench.idle [--seconds 30]`

Processor time as the system counts it, in percent of one core, and statements a second as Postgres counts them, in the
intervals of real life.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.ground import Line, arguments, durable_servers, migrated_database, show
from dialer.embedded import EmbeddedServers
from tests.system.stack import stack

SETTLE_SECONDS = 5.0


def main() -> int:
    parser = arguments("idle", __doc__, runs=1)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with durable_servers() as servers:
        lines = asyncio.run(measure(servers, options.seconds))
    show(f"nothing to do for {options.seconds:.0f} s", lines, as_json=options.json)
    return 0


async def measure(servers: EmbeddedServers, seconds: float) -> list[Line]:
    database = await migrated_database(servers.dsn, "idle")
    lines = []
    with tempfile.TemporaryDirectory() as logs:
        async with stack(
            database, servers.redis_url, Path(logs), HEARTBEAT_INTERVAL_SECONDS="1", TAKEOVER_AFTER_SECONDS="6"
        ) as system:
            assert system.control is not None
            await asyncio.sleep(SETTLE_SECONDS)
            alone = await _watched(system.db, [system.control.popen.pid], seconds)
            daemon = await system.daemon()
            await asyncio.sleep(SETTLE_SECONDS)
            both = await _watched(system.db, [system.control.popen.pid, daemon.popen.pid], seconds)
    lines.append(Line("control", "% core", [alone[0][0]]))
    lines.append(Line("daemon", "% core", [both[0][1]]))
    lines.append(Line("control: transactions a second", "", [alone[1]]))
    lines.append(Line("daemon: transactions a second", "", [both[1] - alone[1]]))
    return lines


async def _watched(db: Any, pids: list[int], seconds: float) -> tuple[list[float], float]:
    """Of each process the share of a core; and the database's transactions a second, our own look apart."""
    before, began = await _transactions(db), [_processor_seconds(pid) for pid in pids]
    await asyncio.sleep(seconds)
    shares = [100 * (_processor_seconds(pid) - start) / seconds for pid, start in zip(pids, began, strict=True)]
    return shares, (await _transactions(db) - before) / seconds


async def _transactions(db: Any) -> int:
    await db.execute("SELECT pg_stat_force_next_flush()")
    await db.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await db.fetchval(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    )
    return count


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
