"""Do more daemons carry more? `python -m bench.daemons [--businesses 50] [--calls 60]`

The same load through 1, 2 and 4 daemons. On a machine with few cores it shows what sharing costs, not what it gains.
"""

from __future__ import annotations

import asyncio
import sys

from bench.ground import Line, arguments, durable_servers, show
from bench.throughput import Load, throughput

COUNTS = (1, 2, 4)


def main() -> int:
    parser = arguments("daemons", __doc__, runs=3)
    parser.add_argument("--businesses", type=int, default=50)
    parser.add_argument("--calls", type=int, default=60, help="of each business")
    options = parser.parse_args()
    lines = []
    with durable_servers() as servers:
        for count in COUNTS:
            load = Load(options.businesses, options.calls, limit=10, talk=0.05, daemons=count)
            name = f"daemons_{count}"
            found = [asyncio.run(throughput(servers, f"{name}_{n}", load)) for n in range(options.runs)]
            lines.append(Line(f"{count} daemons: calls a second", "", [f.calls_per_second for f in found]))
            lines.append(Line(f"{count} daemons: slot idle, p50", "ms", [f.idle_p50 for f in found]))
    show(
        f"{options.businesses} businesses x {options.calls} calls of 50 ms at limit 10",
        lines,
        as_json=options.json,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
