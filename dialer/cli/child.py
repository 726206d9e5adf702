"""One child process: where its output goes, that it dies with us, and its end in good time."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec only what is already there is safe to use.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_WORDS_KEPT = 15
_OF_THE_SUPERVISOR = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True)
class Program:
    """What to run. `log` None: its output is ours."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path | None = None
    stop_within: float = 5.0
    """Seconds from SIGTERM to SIGKILL."""


class Child:
    """A running program. Start it from the main thread only: the kernel ends it with the thread it came from."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._echoed = 0
        if program.log is None:
            self._process = _spawn(program, None)
            return
        if program.log.exists():
            program.log.replace(program.log.with_suffix(".log.before"))
        with program.log.open("wb") as log:
            self._process = _spawn(program, log.fileno())

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + the signal's number when a signal ended it, as shells say."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def how_it_ended(self) -> str:
        code = self._process.poll()
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def last_words(self) -> str:
        """The end of its log."""
        if self.program.log is None:
            return ""
        text = self.program.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_WORDS_KEPT:])

    def new_lines(self) -> list[str]:
        """The whole lines that it wrote to its log since the last time."""
        if self.program.log is None:
            return []
        with self.program.log.open("rb") as log:
            log.seek(self._echoed)
            written = log.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._echoed += len(whole)
        return whole.decode(errors="replace").splitlines()

    def signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, within: float | None) -> bool:
        """Whether it has ended, waiting at most this many seconds (None: for ever)."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> bool:
        """SIGTERM, and SIGKILL when that did not do in time; False then."""
        self.signal(signal.SIGTERM)
        if self.wait(self.program.stop_within):
            return True
        self._process.kill()
        self._process.wait()
        return False


def python_module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs an installed module, whatever lies in the working directory (-P)."""
    return (sys.executable, "-P", "-m", name, *arguments)


def environment_with(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Our own environment with some variables changed (None: unset), their NAME_FILE forms removed.

    A supervisor's variables are about us, not about our children, who would speak in our name.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_SUPERVISOR}
    for name, value in changes.items():
        environment.pop(name, None)
        environment.pop(f"{name}_FILE", None)
        if value is not None:
            environment[name] = value
    return environment


def _spawn(program: Program, output: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        program.command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(program.environment),
        # Ctrl-C in the terminal is for us alone: we stop the processes in their order.
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()),
    )


def _die_with(parent: int) -> Callable[[], None]:
    """Makes the kernel kill the child when we are gone, even by kill -9. A crash loses nothing, by design."""

    def ask_for_it() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != parent:  # gone before we asked
                os._exit(1)

    return ask_for_it
