"""Do many small businesses share one daemon well? `python -m bench.tenants [--businesses 100] [--calls 30]`

Each has a run of its own and its own few slots; all are dialed at the same time.
"""

from __future__ import annotations

import sys

from bench.throughput import Load, main

if __name__ == "__main__":
    sys.exit(main("tenants", __doc__, Load(businesses=100, calls=30, limit=3, talk=0.2)))
