"""python -m tests.soak --minutes 10 [--seed 7] [--redis cluster] [--database pgbouncer]"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.course import soak
from tests.soak.places import Kinds
from tests.support.environment import isolate


def main() -> int:
    """Run one soak and print what it has shown; 1 when anything was violated."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="break everything while calls are made"
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="as printed by an earlier one; else a new one")
    parser.add_argument("--redis", choices=("one", "cluster"), default="one")
    parser.add_argument("--database", choices=("direct", "pgbouncer"), default="direct")
    wanted = parser.parse_args()
    seed = random.randrange(10**6) if wanted.seed is None else wanted.seed
    kinds = Kinds(wanted.redis, wanted.database)
    print(f"seed {seed}, {wanted.minutes:g} minutes, {kinds}", flush=True)
    isolate(os.environ)
    logs = Path(tempfile.mkdtemp(prefix="soak-"))
    result = asyncio.run(soak(wanted.minutes, seed, logs, kinds))
    print(result.table())
    if result.violations:
        print(f"seed {seed}; the logs are in {logs}")
        return 1
    shutil.rmtree(logs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
