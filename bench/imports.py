"""How quickly does a long list become a run? `python -m bench.imports [--leads 1000000]`

The whole `start` over HTTP, JSON and CSV, with what control's memory grew to; beside it the floor, a bare COPY of as
many ready-made rows into the same table.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.ground import Line, arguments, durable_servers, migrated_database, show
from dialer.embedded import EmbeddedServers
from tests.support.crowds import add_runs
from tests.system.stack import FROM, TWIML, Stack, stack

COLUMNS = ("run_id", "business_id", "position", "phone", "lead_id", "name")


def main() -> int:
    parser = arguments("imports", __doc__, runs=1)
    parser.add_argument("--leads", type=int, default=1_000_000)
    options = parser.parse_args()
    with durable_servers() as servers:
        lines = asyncio.run(measure(servers, options.leads))
    show(f"a list of {options.leads} leads", lines, as_json=options.json)
    return 0


async def measure(servers: EmbeddedServers, leads: int) -> list[Line]:
    database = await migrated_database(servers.dsn, "imports")
    bound = str(leads * 120)
    with tempfile.TemporaryDirectory() as logs:
        async with stack(database, servers.redis_url, Path(logs), MAX_REQUEST_BYTES=bound) as system:
            business = await system.business()
            floor = await _copied(system.db, business, leads)
            before = _memory(system)
            lines = [Line("start as CSV: leads a second", "", [await _started(system, business, leads)], [floor])]
            lines.append(Line("control's memory: before, most", "MB", [before, _memory(system)]))
    return lines


async def _copied(db: Any, business: int, leads: int) -> float:
    [run] = await add_runs(db, business, 1)
    rows = [(run, business, n, f"+1212{2_000_000 + n}", f"lead-{n}", "Dana") for n in range(leads)]
    began = time.perf_counter()
    await db.copy_records_to_table("outbound_call_jobs", records=rows, columns=COLUMNS, timeout=600)
    return leads / (time.perf_counter() - began)


async def _started(system: Stack, business: int, leads: int) -> float:
    lines = (f"+1{2_012_000_000 + 7 * n},lead-{n},Dana" for n in range(leads))
    body = "phone,lead_id,name\n" + "\n".join(lines)
    query = {"business_id": str(business), "twiml": TWIML, "from_number": FROM}
    began = time.perf_counter()
    started = await system.ask(
        "POST",
        "/api/outbound_calls/start",
        params=query,
        data=body.encode(),
        headers={"Content-Type": "text/csv"},
        timeout=None,
    )
    taken = leads / (time.perf_counter() - began)
    print(f"{started['queued']} queued, {len(started['rejected'])} rejected", file=sys.stderr)
    return taken


def _memory(system: Stack) -> float:
    """The most that control has had resident, in megabytes."""
    assert system.control is not None
    status = Path(f"/proc/{system.control.popen.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
