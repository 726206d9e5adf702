"""Many businesses at once through real processes: calls a second, how they shared, how long freed slots were idle.

A part of `tenants`, `fairness`, `saturation` and `daemons`, which differ in their figures only.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.bare import bare_calls, ended
from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from dialer.embedded import EmbeddedServers
from simulator import INSTANT
from simulator.ledger import Ledger, Placed
from simulator.settings import Settings as CarrierSettings
from tests.support.waiting import eventually
from tests.system.stack import Stack, stack

CALLERS_BEGIN = "+1646555"
CALLERS = CALLERS_BEGIN + "{:04d}"


@dataclass(frozen=True)
class Load:
    """What is asked of the system. `calls`: of each run; `talk`: seconds that a call lasts."""

    businesses: int
    calls: int
    limit: int
    talk: float
    runs: int = 1
    daemons: int = 1


@dataclass(frozen=True)
class Throughput:
    """Of one measurement; idle times of slots in milliseconds, shares as parts of an equal one."""

    calls_per_second: float
    idle_p50: float
    idle_p99: float
    least_share: float
    most_share: float


def main(name: str, doc: str | None, usual: Load) -> int:
    """A command that measures one load, `usual` unless its options say otherwise."""
    parser = arguments(name, doc)
    parser.add_argument("--businesses", type=int, default=usual.businesses)
    parser.add_argument("--calls", type=int, default=usual.calls, help="of each run")
    parser.add_argument("--limit", type=int, default=usual.limit)
    parser.add_argument("--talk", type=float, default=usual.talk, help="seconds that a call lasts")
    options = parser.parse_args()
    load = replace(
        usual, businesses=options.businesses, calls=options.calls, limit=options.limit, talk=options.talk
    )
    found, floor = [], []
    with durable_servers() as servers:
        for n in range(options.runs):
            floor.append(asyncio.run(bare_throughput(servers, f"{name}_floor_{n}", load)))
            found.append(asyncio.run(throughput(servers, f"{name}_{n}", load)))
    title = (
        f"{load.businesses} businesses x {load.runs} runs x {load.calls} calls of {1000 * load.talk:.0f} ms"
        f" at limit {load.limit}, {load.daemons} daemons"
    )
    lines = [
        Line("calls a second", "", [f.calls_per_second for f in found], floor),
        Line("share of slot time, least", "", [f.least_share for f in found]),
        Line("share of slot time, most", "", [f.most_share for f in found]),
        Line("slot idle, p50", "ms", [f.idle_p50 for f in found]),
        Line("slot idle, p99", "ms", [f.idle_p99 for f in found]),
    ]
    show(title, lines, as_json=options.json)
    return 0


async def throughput(servers: EmbeddedServers, name: str, load: Load) -> Throughput:
    """One run on a database of its own; every call is checked in the ledger."""
    database = await migrated_database(servers.dsn, name)
    with tempfile.TemporaryDirectory() as logs:
        async with stack(database, servers.redis_url, Path(logs), _carrier(load)) as system:
            businesses = [await system.business(load.limit) for _ in range(load.businesses)]
            for number in range(load.businesses * load.runs):
                await system.start(
                    businesses[number // load.runs], _phones(load.calls), from_number=CALLERS.format(number)
                )
            for _ in range(load.daemons):
                system.spawn("dialer")
            wanted = load.businesses * load.runs * load.calls
            await eventually(lambda: ended(system.sim.ledger) >= wanted, timeout=60 + wanted / 20, interval=0.2)
            await eventually(lambda: _all_over(system), timeout=60, interval=0.2)
            await system.check()
            return _figures(system.sim.ledger, load)


async def bare_throughput(servers: EmbeddedServers, name: str, load: Load) -> float:
    """Calls a second of as many slots through the bare programs, which know of no businesses, and batch."""
    wanted, slots = load.businesses * load.runs * load.calls, load.businesses * load.limit
    async with bare_calls(
        servers, name, _carrier(load), calls=wanted, limit=slots, batched=True, within_seconds=60 + wanted / 20
    ) as ledger:
        return _rate(sorted(call.created for call in ledger.calls.values()), slots)


def _carrier(load: Load) -> CarrierSettings:
    return INSTANT.changed({"talk_seconds": load.talk, "digits_decide": False})


def _phones(count: int) -> list[str]:
    return [f"+1212{2_000_000 + n}" for n in range(count)]


async def _all_over(system: Stack) -> bool:
    open_runs = await system.db.fetchval("SELECT count(*) FROM outbound_call_runs WHERE ended_at IS NULL")
    return bool(open_runs == 0)


def _figures(ledger: Ledger, load: Load) -> Throughput:
    calls = sorted(call.created for call in ledger.calls.values())
    idle = sorted(_idle(ledger, load))
    least, most = _shares(ledger, load)
    return Throughput(
        _rate(calls, load.businesses * load.limit),
        rank(idle, 0.5) if idle else 0.0,
        rank(idle, 0.99) if idle else 0.0,
        least,
        most,
    )


def _rate(created: Sequence[float], slots: int) -> float:
    """The first wave only fills the slots, the last only empties them."""
    steady = created[slots:] if len(created) > 2 * slots else created
    return (len(steady) - 1) / (steady[-1] - steady[0])


def _shares(ledger: Ledger, load: Load) -> tuple[float, float]:
    """Of the slot time used while every run had a call and jobs left: what those had that came off worst and best.

    Zeros when there was no such time: lists so short, or so many, that some were over before others had begun.
    """
    calls: dict[str, list[Placed]] = defaultdict(list)
    for call in ledger.calls.values():
        calls[call.from_number].append(call)
    begin = max(min(call.created for call in made) for made in calls.values())
    end = min(max(call.created for call in made) for made in calls.values())
    used = [sum(_overlap(call, begin, end) for call in made) for made in calls.values()]
    equal = sum(used) / (load.businesses * load.runs)
    return (min(used) / equal, max(used) / equal) if equal else (0.0, 0.0)


def _overlap(call: Placed, begin: float, end: float) -> float:
    return max(min(call.ended or end, end) - max(call.created, begin), 0.0)


def _idle(ledger: Ledger, load: Load) -> Sequence[float]:
    """Milliseconds: of each business, the n-th end makes room for the create that is `limit` later."""
    creates: dict[int, list[float]] = defaultdict(list)
    ends: dict[int, list[float]] = defaultdict(list)
    for call in ledger.calls.values():
        creates[_business(call, load)].append(call.created)
    for delivery in ledger.terminal_deliveries():
        if delivery.sent is not None and (call_of := ledger.calls.get(delivery.sid)) is not None:
            ends[_business(call_of, load)].append(delivery.sent)
    return [
        1000 * (create - end)
        for business, made in creates.items()
        for end, create in zip(sorted(ends[business]), sorted(made)[load.limit :], strict=False)
    ]


def _business(call: Placed, load: Load) -> int:
    """The n-th of all runs dials from the n-th number."""
    return int(call.from_number.removeprefix(CALLERS_BEGIN)) // load.runs
