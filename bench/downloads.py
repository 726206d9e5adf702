"""Do downloads slow dialing? `python -m bench.downloads [--calls 200] [--downloads 50] [--runs 3]`

The hand-off of bench/handoff.py (a callback that ends a call → the next create at the carrier) while one daemon
fetches so many recordings, and, as the floor, while it fetches none: in turn, on the same stack. The sound comes
from a process of its own, to which the simulated carrier redirects, and never ends.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aiohttp import web

from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from dialer.embedded import EmbeddedServers
from simulator import INSTANT, Simulator
from tests.support.waiting import eventually
from tests.system.stack import Stack, numbers, stack

LIMIT = 3
TALK_SECONDS = 0.1
ENDLESS = 10**12
PIECE = bytes(256 * 1024)


def main() -> int:
    parser = arguments("downloads", __doc__, runs=3)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--downloads", type=int, default=50)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    without, during = [], []
    with durable_servers() as servers, sound() as url:
        for n in range(options.runs):
            beside, ours = asyncio.run(measure(servers, n, url, options))
            without.append(beside)
            during.append(ours)
    title = f"{options.calls} calls at limit {LIMIT} beside {options.downloads} downloads, {options.runs} runs"
    lines = [
        Line(name, "ms", [rank(f, share) for f in during], [rank(f, share) for f in without])
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]
    show(title, lines, as_json=options.json)
    return 0


async def measure(
    servers: EmbeddedServers, number: int, url: str, options: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Hand-offs in milliseconds, sorted: without downloads, and with."""
    database = await migrated_database(servers.dsn, f"downloads_{number}")
    carrier = INSTANT.changed({"talk_seconds": TALK_SECONDS, "digits_decide": False})
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "RECORDINGS_DIR": str(Path(directory) / "store"),
            "RECORDING_DOWNLOADS_PER_BUSINESS": "100",
        }
        async with stack(database, servers.redis_url, Path(directory), carrier, **settings) as system:
            system.sim.misbehave("media", "redirect", location=url, times=None)
            await system.daemon()
            await hand_offs(system, options.calls // 4)  # neither of the two is to warm up for the other
            without = await hand_offs(system, options.calls)
            recorded = await system.business(limit=options.downloads)
            run = await system.start(recorded, list(numbers(options.downloads)), record=True)
            await system.ended(run)
            await eventually(lambda: are_running(system, options.downloads), timeout=30)
            return without, await hand_offs(system, options.calls)


async def are_running(system: Stack, count: int) -> bool:
    found = await system.db.fetchval("SELECT count(*) FROM recording_runs WHERE status = 'running'")
    return bool(found == count)


async def hand_offs(system: Stack, calls: int) -> list[float]:
    system.sim.reset("ledger")
    run = await system.start(await system.business(limit=LIMIT), list(numbers(calls)))
    await system.ended(run, timeout=120)
    return idle(system.sim)


def idle(sim: Simulator) -> list[float]:
    creates = sorted(sim.ledger.create_times())
    ends = sorted(d.sent for d in sim.ledger.terminal_deliveries() if d.sent is not None)
    # The n-th end makes room for the create that is `LIMIT` later.
    return sorted(1000 * (create - end) for end, create in zip(ends, creates[LIMIT:], strict=False))


@contextmanager
def sound() -> Iterator[str]:
    """The process that sends sound; the address of it."""
    command = [sys.executable, "-m", "bench.downloads", "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


async def serve() -> None:
    """Whatever is asked for: sound without end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
        response.content_length = ENDLESS
        await response.prepare(request)
        with suppress(ConnectionError):  # the daemon has ended
            while True:
                await response.write(PIECE)
        return response

    app = web.Application()
    app.router.add_get("/sound.mp3", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/sound.mp3", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
