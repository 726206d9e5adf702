"""How many calls a second go through one daemon and one control? `python -m bench.saturation`

So many slots and such short calls that the processes are never idle. The simulator shares the machine: what it costs
is in the figure.
"""

from __future__ import annotations

import sys

from bench.throughput import Load, main

if __name__ == "__main__":
    sys.exit(main("saturation", __doc__, Load(businesses=50, calls=100, limit=50, talk=0.02)))
