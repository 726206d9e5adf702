"""`python -m dialer.embedded DIR`: keep PostgreSQL and Valkey running until stdin closes.

Prints one JSON line, `{"dsn": ..., "redis": ...}`, when both answer. Exit code 0 after a stop that was
asked for (stdin closed, SIGTERM, SIGINT, SIGHUP), 1 with the reason on stderr otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

from dialer.embedded.keeper import Keeper
from dialer.embedded.place import Trouble
from dialer.embedded.watch import StopRequested, Watch, note


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # A session of its own, so that Ctrl-C in the user's terminal stops the user's program and not, under
    # its feet, its database. Refused to a shell's own job, which is right: there Ctrl-C is meant for us.
    with contextlib.suppress(PermissionError):
        os.setsid()
    try:
        with (
            Watch() as watch,
            Keeper(Path(options.directory).absolute(), options.fsync == "on", watch) as keeper,
        ):
            keeper.start()
            print(keeper.addresses(), flush=True)
            keeper.keep()
    except StopRequested as stop:
        note(f"stopped: {stop}")
        return 0
    except Trouble as trouble:
        note(str(trouble))
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dialer.embedded", description=__doc__)
    parser.add_argument("directory", metavar="DIR", help="where the data is kept; made when missing")
    parser.add_argument(
        "--fsync", choices=("on", "off"), default="on", help="off: faster, but a power cut loses the data"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
