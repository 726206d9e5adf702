"""Programs that only the system's packages have: promtool, pgbouncer, systemd-analyze, nginx.

`make .venv/.tools` (tests/tools/fetch.py) unpacks them beside the virtual environment, without root. A test that
needs one skips where `find` gives None.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

UNPACKED = Path(sys.prefix) / "tools"
_ASKS_FOR_VERSION = {"nginx": "-v"}


@cache
def find(name: str) -> Path | None:
    """The program of that name which runs here: the unpacked one before the machine's own."""
    places = [UNPACKED / "usr/bin" / name, UNPACKED / "usr/sbin" / name]
    for place in (*places, shutil.which(name), Path("/usr/sbin") / name):
        if place and _runs(Path(place)):
            return Path(place)
    return None


def environment() -> dict[str, str]:
    """This process's environment in which unpacked programs find the libraries that were unpacked with them."""
    libraries = [*UNPACKED.glob("usr/lib/*-linux-*"), *UNPACKED.glob("usr/lib/*-linux-*/systemd")]
    libraries += UNPACKED.glob("lib/*-linux-*")
    own = os.environ.get("LD_LIBRARY_PATH")
    return dict(os.environ, LD_LIBRARY_PATH=":".join([*map(str, libraries), *([own] if own else [])]))


def _runs(program: Path) -> bool:
    if not program.is_file():
        return False
    try:
        asked = subprocess.run(
            [program, _ASKS_FOR_VERSION.get(program.name, "--version")],
            env=environment(),
            capture_output=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
