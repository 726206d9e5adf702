"""Where recordings are kept: a local folder or a bucket, behind one small interface.

A name is `business/shard/CA….mp3`, below the root of the store. What stands under a name is whole, and never
written again: of two daemons that publish the same name (one had lost its lease and did not know it yet), the second
finds the file of the first, and takes it as it is. What is unfinished ends in `.part`.
"""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from dialer.config import Settings
from dialer.crashpoints import passed
from dialer.errors import TryAgainLater
from dialer.rules.recording import Kept, is_file_name

READ_BYTES = 256 * 1024
THREADS = 4

T = TypeVar("T")


class ShelfAway(TryAgainLater):
    """The store did not do it: its disk is full, its server away. Nothing half done is visible."""


class Draft(Protocol):
    """A file that is being written. Each method raises ShelfAway; then `discard` it."""

    async def write(self, block: bytes) -> None:
        """Add to its end."""

    async def keep(self) -> Kept:
        """Make it safe and give it its name. Returns what stands there now, should another have been faster."""

    async def discard(self) -> None:
        """Leave nothing of it. Raises nothing."""


class Shelf(Protocol):
    """The store. Every method raises ShelfAway, and ValueError for a name that is none of ours."""

    async def open(self) -> None:
        """Do now what would take a moment at the first use. Not needed."""

    async def begin(self, name: str, epoch: int) -> Draft | Kept:
        """Begin a file under a lease of this epoch; what earlier epochs left unfinished goes.

        Returns what is kept under the name already: whoever wrote it died before it could say so.
        """

    async def size(self, name: str) -> int | None:
        """Bytes of a kept file; None when there is none."""

    def read(self, name: str, start: int, length: int) -> AsyncGenerator[bytes]:
        """So many bytes from there on, in pieces. Errors come before the first piece."""

    async def delete(self, name: str) -> None:
        """Delete it, if it is there."""

    async def close(self) -> None:
        """Let go of connections and threads."""


def open_shelf(settings: Settings) -> Shelf:
    """The store that is configured; nothing is touched before its first use. Raises CheckYourSettings."""
    if settings.recordings_url is None:
        return Folder(settings.recordings_root)
    from dialer.edges.bucket import Bucket  # its library is an extra

    return Bucket(settings.recordings_url)


class Folder:
    """A local folder. Its threads are its own: hashing must not keep anything else waiting."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._threads = ThreadPoolExecutor(THREADS, "recordings")

    async def open(self) -> None:
        # Directories are made when there is something to put into them.
        return

    async def begin(self, name: str, epoch: int) -> Draft | Kept:
        path = self._path(name)
        beginning = asyncio.ensure_future(self._do(lambda: _begin(path, epoch, self._do)))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # The thread goes on, and what it opens would stay.
            [begun] = await asyncio.gather(beginning, return_exceptions=True)
            if isinstance(begun, _Sheet):
                await begun.discard()
            raise

    async def size(self, name: str) -> int | None:
        path = self._path(name)
        return await self._do(lambda: path.stat().st_size if path.is_file() else None)

    async def read(self, name: str, start: int, length: int) -> AsyncGenerator[bytes]:
        path = self._path(name)
        file = await self._do(lambda: path.open("rb"))
        try:
            await self._do(lambda: file.seek(start))
            while length > 0 and (piece := await self._do(partial(file.read, min(length, READ_BYTES)))):
                length -= len(piece)
                yield piece
        finally:
            file.close()

    async def delete(self, name: str) -> None:
        path = self._path(name)
        await self._do(lambda: _delete(path))

    async def close(self) -> None:
        # Not waited for: a disk that hangs must not hold up the end of the process longer than it must.
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _path(self, name: str) -> Path:
        if not is_file_name(name):
            raise ValueError("no name of a recording")
        return self._root.absolute() / name

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            # Not the message: it has a path in it.
            raise ShelfAway(f"{type(error).__name__} {error.errno}") from error


class _Sheet:
    """A `.part` beside its target."""

    def __init__(self, path: Path, part: Path, file: BinaryIO, do: "_Do") -> None:
        self._path = path
        self._part = part
        self._file = file
        self._do = do
        self._hash = hashlib.sha256()
        self._bytes = 0

    async def write(self, block: bytes) -> None:
        await self._do(lambda: self._add(block))

    def _add(self, block: bytes) -> None:
        self._file.write(block)
        self._hash.update(block)
        self._bytes += len(block)

    async def keep(self) -> Kept:
        return await self._do(self._publish)

    def _publish(self) -> Kept:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        passed("recording.synced")
        try:
            _name(self._part, self._path)
        except FileExistsError:
            self._part.unlink(missing_ok=True)
            return _kept(self._path)
        passed("recording.named")
        self._part.unlink(missing_ok=True)
        _sync_directory(self._path.parent)
        return Kept(self._bytes, self._hash.hexdigest())

    async def discard(self) -> None:
        with suppress(ShelfAway):
            await self._do(self._drop)

    def _drop(self) -> None:
        # Its last bytes are wanted by nobody: no matter if the disk cannot take them.
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


class _Do(Protocol):
    async def __call__(self, work: Callable[[], T]) -> T: ...


def _begin(path: Path, epoch: int, do: _Do) -> Draft | Kept:
    _make_directories(path.parent)
    for left in path.parent.glob(f"{path.name}.*.part"):
        # Not those of later leases: should we have slept, it is they who are at work.
        if int(left.name.split(".")[-2]) < epoch:
            left.unlink(missing_ok=True)
    if path.exists():
        # Whoever gave it its name may have died before its directory was safe.
        _sync_directory(path.parent)
        return _kept(path)
    part = path.with_name(f"{path.name}.{epoch}.part")
    return _Sheet(path, part, part.open("xb"), do)


def _name(part: Path, path: Path) -> None:
    """Give a file its name. Unlike a rename this never replaces one: FileExistsError."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        # A file system without links. The window between look and rename needs two holders of one lease.
        if path.exists():
            raise FileExistsError from error
        part.rename(path)


def _kept(path: Path) -> Kept:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
            size += len(block)
    return Kept(size, digest.hexdigest())


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.parent.exists():
        _sync_directory(path.parent)


def _make_directories(directory: Path) -> None:
    """Make it and its parents, each safe in the one above."""
    if directory.is_dir():
        return
    _make_directories(directory.parent)
    directory.mkdir(exist_ok=True)
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
