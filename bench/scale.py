"""Does one daemon carry ten thousand runs? `python -m bench.scale [--held 10000] [--seconds 6] [--rate 50]`

So many runs, each of a business of its own with three calls live, as another daemon handed them over: what the daemon
takes to have them all, its memory, its processor time while nothing ends, and how long a slot is idle, from the
callback that ends a call to the next create, while calls end at a steady rate. Beside it the floor: the same with ten
runs. The carrier is the bare one of `bench/standin.py`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from bench.idle import processor_seconds
from bench.standin import Call, StandIn, standing_in
from dialer.embedded import EmbeddedServers
from tests.support.waiting import eventually
from tests.system.stack import TWIML, Process, Stack, stack

LIVE_OF_A_RUN = 3
# Each run has so many times the jobs that it will need, chance being as it is; and some more.
SPARE, SOME = 3, 9
FLOOR_RUNS = 10
TAKEN_WITHIN_SECONDS = 90.0
# Less than so much of a core for a second: it has looked at everything that it took over.
QUIET_SHARE = 0.5

CROWD = """
WITH tenants AS (
    INSERT INTO businesses (name, max_concurrent_calls)
    SELECT 'tenant ' || n, $2 FROM generate_series(1, $1::integer) AS n RETURNING id
), runs AS (
    INSERT INTO outbound_call_runs (business_id, concurrency) SELECT id, $2 FROM tenants RETURNING id, business_id
), settings AS (
    INSERT INTO outbound_call_run_settings
        (run_id, business_id, from_number, twiml, ring_timeout_seconds, call_time_limit_seconds)
    SELECT id, business_id, '+1646' || (1000000 + business_id), $3, 30, 36000 FROM runs
)
INSERT INTO outbound_call_run_counters (run_id, business_id) SELECT id, business_id FROM runs
"""
JOBS = """
INSERT INTO outbound_call_jobs (run_id, business_id, position, phone, lead_id)
SELECT r.id, r.business_id, n, '+1212' || (5000000 + n), 'lead-' || n
FROM outbound_call_runs r CROSS JOIN generate_series(1, $1::integer) AS n
"""
CALLING = """
UPDATE outbound_call_jobs SET status = 'calling', dial_lock_token = gen_random_uuid() WHERE position <= $1
"""
ATTEMPTS = """
INSERT INTO outbound_call_attempts (id, job_id, run_id, business_id, lease_epoch, slot, state, call_sid, sid_source,
    carrier_rank, account_sid, from_number, to_number, ring_timeout_seconds, call_time_limit_seconds, requested_at)
SELECT j.dial_lock_token, j.id, j.run_id, j.business_id, 0, j.position, 'live', 'CA' || replace(j.dial_lock_token::text,
    '-', ''), 'answer', 4, $1, s.from_number, j.phone, 30, 36000, now()
FROM outbound_call_jobs j JOIN outbound_call_run_settings s USING (run_id) WHERE j.status = 'calling'
RETURNING id, call_sid, from_number
"""


@dataclass(frozen=True)
class Figures:
    """Of one daemon with its runs; megabytes, seconds, percent of a core, and milliseconds for each window."""

    taken_seconds: float
    memory: float
    memory_afterwards: float
    still: float
    at_work: list[float]
    p50: list[float]
    p99: list[float]


def main() -> int:
    parser = arguments("scale", __doc__)
    parser.add_argument("--held", type=int, default=10_000, help="runs")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each of the runs of the measurement")
    parser.add_argument("--rate", type=float, default=50.0, help="calls that end, a second")
    options = parser.parse_args()
    with durable_servers() as servers:
        few, many = (
            asyncio.run(measure(servers, held, options.runs, options.seconds, options.rate))
            for held in (FLOOR_RUNS, options.held)
        )
    lines = [
        Line("until it has them all", "s", [many.taken_seconds], [few.taken_seconds]),
        Line("memory", "MB", [many.memory], [few.memory]),
        Line("memory after that many hand-offs", "MB", [many.memory_afterwards], [few.memory_afterwards]),
        Line("processor while nothing ends", "%", [many.still], [few.still]),
        Line(f"processor at {options.rate:.0f} ends a second", "%", many.at_work, few.at_work),
        Line("slot idle, p50", "ms", many.p50, few.p50),
        Line("slot idle, p99", "ms", many.p99, few.p99),
    ]
    show(f"{options.held} runs, {LIVE_OF_A_RUN * options.held} calls live", lines, as_json=options.json)
    return 0


async def measure(servers: EmbeddedServers, held: int, windows: int, seconds: float, rate: float) -> Figures:
    database = await migrated_database(servers.dsn, f"scale_{held}")
    with tempfile.TemporaryDirectory() as logs:
        async with (
            standing_in("12345678901234567890123456789012") as carrier,
            stack(
                database,
                servers.redis_url,
                Path(logs),
                TWILIO_API_BASE_URL=carrier.url,
                TWILIO_AUTH_TOKEN=carrier.token,
                HEARTBEAT_INTERVAL_SECONDS="1",
                TAKEOVER_AFTER_SECONDS="6",
                CALL_SILENT_AFTER_SECONDS="3600",
            ) as system,
        ):
            await _crowd(system, carrier, held, SOME + int(SPARE * windows * seconds * rate / held))
            began = time.perf_counter()
            daemon = await system.daemon()
            await eventually(lambda: _has_all(system.db, held), timeout=TAKEN_WITHIN_SECONDS)
            await _quiet(daemon)
            taken = time.perf_counter() - began
            memory = _memory(daemon)
            still = await _share_of_a_core(daemon, asyncio.sleep(seconds))
            at_work, p50, p99 = [], [], []
            for _ in range(windows):
                carrier.idle.clear()
                at_work.append(await _share_of_a_core(daemon, _end_calls(carrier, seconds, rate)))
                idle = sorted(1000 * s for s in carrier.idle)
                p50.append(rank(idle, 0.5))
                p99.append(rank(idle, 0.99))
            return Figures(taken, memory, _memory(daemon), still, at_work, p50, p99)


async def _crowd(system: Stack, carrier: StandIn, held: int, queued: int) -> None:
    """So many pending runs with three calls live each, and the calls at the carrier."""
    db: Any = system.db
    await db.execute(CROWD, held, LIVE_OF_A_RUN, TWIML, timeout=600)
    await db.execute(JOBS, LIVE_OF_A_RUN + queued, timeout=600)
    await db.execute(CALLING, LIVE_OF_A_RUN, timeout=600)
    attempts = await db.fetch(ATTEMPTS, system.sim.settings.account_sid, timeout=600)
    await db.execute("VACUUM ANALYZE", timeout=600)
    calls: dict[str, list[Call]] = defaultdict(list)
    for row in attempts:
        callback = f"{system.url}/webhook/call_status?attempt={row['id']}"
        calls[row["from_number"]].append(Call(row["call_sid"], row["from_number"], callback))
    carrier.live.update(calls)


async def _has_all(db: Any, held: int) -> bool:
    return bool(
        held == await db.fetchval("SELECT count(*) FROM outbound_call_runs WHERE locked_by_worker IS NOT NULL")
    )


async def _quiet(daemon: Process) -> None:
    until = time.perf_counter() + TAKEN_WITHIN_SECONDS
    while await _share_of_a_core(daemon, asyncio.sleep(1)) > 100 * QUIET_SHARE:
        assert time.perf_counter() < until, "the daemon is never quiet"


async def _end_calls(carrier: StandIn, seconds: float, rate: float) -> None:
    """End calls of runs that chance chooses, evenly spaced; none of a run whose slot is free just now."""
    chance, ending = random.Random(), []
    callers = list(carrier.live)
    began = time.perf_counter()
    for n in range(int(seconds * rate)):
        await asyncio.sleep(max(began + n / rate - time.perf_counter(), 0))
        live = carrier.live[chance.choice(callers)]
        if len(live) == LIVE_OF_A_RUN:
            ending.append(asyncio.create_task(carrier.end(live[0])))
    await asyncio.gather(*ending)
    await asyncio.sleep(0.5)


async def _share_of_a_core(daemon: Process, meanwhile: Any) -> float:
    spent, began = processor_seconds(daemon.popen.pid), time.perf_counter()
    await meanwhile
    return 100 * (processor_seconds(daemon.popen.pid) - spent) / (time.perf_counter() - began)


def _memory(daemon: Process) -> float:
    """Resident, in megabytes."""
    status = Path(f"/proc/{daemon.popen.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
