"""Do many small businesses share one daemon well? `python -m bench.tenants [--businesses 100] [--calls 30]`

Each has a run of its own and its own few slots; all are dialed at the same time.
"""

from __future__ import annotations

import asyncio
import sys

from bench.ground import Line, arguments, durable_servers, show
from bench.throughput import Load, Throughput, throughput


def main() -> int:
    parser = arguments("tenants", __doc__)
    parser.add_argument("--businesses", type=int, default=100)
    parser.add_argument("--calls", type=int, default=30, help="of each business")
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--talk", type=float, default=0.2, help="seconds that a call lasts")
    options = parser.parse_args()
    load = Load(options.businesses, options.calls, options.limit, options.talk)
    with durable_servers() as servers:
        found = [asyncio.run(throughput(servers, f"tenants_{n}", load)) for n in range(options.runs)]
        lines = _lines(found)
    show(
        f"{load.businesses} businesses x {load.calls} calls of {1000 * load.talk:.0f} ms at limit {load.limit}",
        lines,
        as_json=options.json,
    )
    return 0


def _lines(found: list[Throughput]) -> list[Line]:
    return [
        Line("calls a second", "", [f.calls_per_second for f in found]),
        Line("slot idle, p50", "ms", [f.idle_p50 for f in found]),
        Line("slot idle, p99", "ms", [f.idle_p99 for f in found]),
    ]


if __name__ == "__main__":
    sys.exit(main())
