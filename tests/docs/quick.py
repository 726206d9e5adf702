"""A `dialer` for scripts of many commands: the real one, whose modules are loaded once and not by every command.

`serve` loads them and forks for each command. What is called instead of it, `SHIM`, hands over its arguments, folder,
variables and open files, and ends with the command's exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

LONGEST = 1 << 20
SHIM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as nursery:
    nursery.connect({address!r})
    order = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(nursery, [order], [0, 1, 2])
    sys.exit(int(nursery.recv(8) or b"70"))
"""


@contextlib.contextmanager
def quick_dialer(folder: Path) -> Iterator[None]:
    """An executable `dialer` in this folder."""
    address = folder / "dialer.socket"
    command = folder / "dialer"
    command.write_text(SHIM.format(python=sys.executable, address=str(address)))
    command.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.docs.quick", str(address)], stdout=subprocess.PIPE
    ) as nursery:
        try:
            assert nursery.stdout is not None
            assert nursery.stdout.readline() == b"ready\n"
            yield
        finally:
            nursery.terminate()


def serve(address: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        # Whoever calls now waits until the modules are there.
        print("ready", flush=True)
        from dialer.cli import main

        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork():
                    continue
                order, files, _, _ = socket.recv_fds(connection, LONGEST, 3)
                connection.send(str(_perform(main, order, files)).encode())
                os._exit(0)


def _perform(main: Callable[..., object], order: bytes, files: list[int]) -> int:
    """In the child: the command itself; its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments, folder, variables = json.loads(order)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    try:
        main(args=arguments, prog_name="dialer")
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        return end.code if isinstance(end.code, int) else 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
