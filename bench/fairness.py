"""Do two runs of one business share its slots evenly? `python -m bench.fairness [--calls 300]`

Two lists at limit 3 on two daemons, so that the turns are Redis's to keep and no process knows both.
"""

from __future__ import annotations

import sys

from bench.throughput import Load, main

if __name__ == "__main__":
    sys.exit(main("fairness", __doc__, Load(businesses=1, runs=2, calls=300, limit=3, talk=0.2, daemons=2)))
