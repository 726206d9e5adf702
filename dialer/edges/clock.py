"""Clocks of this machine."""

import time


def boot_seconds() -> float:
    """Seconds that run on while the machine is suspended, where the system has such a clock.

    Trust in a lease is measured with it: a laptop that slept must not believe in its lease of an hour ago.
    """
    return time.clock_gettime(_CLOCK)


def unix_seconds() -> float:
    """The time of day, for what another process wrote down: as good as the clocks of the two machines agree."""
    return time.time()


# macOS's CLOCK_MONOTONIC counts suspended time; Linux's does not, and has CLOCK_BOOTTIME for it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
