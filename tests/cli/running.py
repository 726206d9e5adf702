"""Runs the real `dialer` command as a process, and finds what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

Variables = Mapping[str, str]
NONE: Variables = MappingProxyType({})
DIALER = str(Path(sys.executable).with_name("dialer"))


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


async def dialer(
    *arguments: str,
    stdin: str = "",
    within: float = 60,
    cwd: Path | None = None,
    more: Variables = NONE,
    **variables: str,
) -> Said:
    """Run `dialer` with these arguments and variables until it ends by itself."""
    async with running(*arguments, stdin=asyncio.subprocess.PIPE, cwd=cwd, more={**more, **variables}) as process:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), within)
    assert process.returncode is not None
    said = Said(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in said.err, said.err
    return said


@contextlib.asynccontextmanager
async def running(
    *arguments: str,
    stdin: int = asyncio.subprocess.DEVNULL,
    stderr: int = asyncio.subprocess.PIPE,
    cwd: Path | None = None,
    more: Variables = NONE,
    **variables: str,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The started command; it is gone on leaving, and with it (which tests prove) all that it started."""
    process = await asyncio.create_subprocess_exec(
        DIALER,
        *arguments,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        cwd=cwd,
        env={**os.environ, **more, **variables},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()


def processes_of(mark: str) -> dict[int, str]:
    """The processes with this text in their command line or environment: pid -> command line."""
    text = mark.encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):  # ended while we looked
                line = (entry / "cmdline").read_bytes()
                if text in line or text in (entry / "environ").read_bytes():
                    found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def descendants(pid: int) -> list[int]:
    """The children of a process, theirs, and so on."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # ended while we looked
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def command(pid: int) -> str:
    """The command line of a process, each argument followed by a space."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended
        return ""


async def line_with(stream: asyncio.StreamReader | None, text: str, within: float = 60) -> str:
    """Read lines until one has this text."""
    assert stream is not None
    seen = []
    async with asyncio.timeout(within):
        async for line in stream:
            seen.append(line.decode())
            if text in seen[-1]:
                return seen[-1]
    raise AssertionError(f"{text!r} was never said, but:\n{''.join(seen)}")
