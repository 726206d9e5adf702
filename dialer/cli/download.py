"""One recording into a directory: whole under its name or not there; what broke off goes on where it stopped.

What is unfinished is called `CA….mp3.SHA256.part`: which recording it is a part of stands in its name, so that
another command, another day, can go on with it, and never with another's.
"""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dialer.cli.client import Client, Request
from dialer.cli.failures import Failed, say
from dialer.cli.patience import TRIES, patiently, pause_before_repeating
from dialer.cli.troubles import Refused, Unreachable

CALL_SID = re.compile(r"CA[0-9A-Za-z]{1,64}")
ENDINGS = ("mp3", "wav")

_ETAG = re.compile(r'"([0-9a-f]{64})"')
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Got:
    """The file is there, whole. `fetched`: just now."""

    path: Path
    fetched: bool


@dataclass(frozen=True)
class OnItsWay:
    """The server does not have it yet."""


@dataclass(frozen=True)
class _Part:
    """What has come of a recording so far, and which recording it is a part of."""

    path: Path
    size: int  # bytes
    digest: "hashlib._Hash"

    @property
    def wanted(self) -> str:
        return self.path.name.split(".")[2]

    def named(self) -> Path:
        """Whole and safe: give it the name of the recording."""
        call_sid, ending, *_ = self.path.name.split(".")
        return self.path.replace(self.path.with_name(f"{call_sid}.{ending}"))


@dataclass(frozen=True)
class _Opened:
    """An answer of which the content comes as it is read. The names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class _Conditional(Request):
    more: Mapping[str, str] = field(default_factory=dict)

    def headers(self, token: str | None) -> dict[str, str]:
        return {**super().headers(token), **self.more}


class _Source(Client):
    """A client that can ask for parts."""

    def open(self, call_sid: str, more: Mapping[str, str]) -> _Opened:
        request = _Conditional("GET", f"/api/recordings/file/{call_sid}", more=more)
        connection, response = self._send(request, self.answer_within)
        if response.status >= 400:
            raise self._refusal(request, connection, response)
        chunks = self._chunks(request, connection, response)
        if response.status not in (200, 206):
            chunks = iter([b"".join(chunks)])
        return _Opened(response.status, {name.lower(): text for name, text in response.headers.items()}, chunks)


def download(client: Client, directory: Path, call_sid: str, sha256: str | None = None) -> Got | OnItsWay:
    """Have the recording of a call in a directory, under its name. `sha256`: what it must be, where that is known.

    Raises Unreachable (what has come is kept for the next time), Refused, and Failed when it came damaged.
    """
    there = next((path for ending in ENDINGS if (path := directory / f"{call_sid}.{ending}").is_file()), None)
    digest = _digest(there).hexdigest() if there else None
    if there and digest == sha256:
        return Got(there, fetched=False)
    source = _Source(client.url, client.token, client.answer_within)
    size, tries = -1, 0
    while True:
        part = _part(directory, call_sid)
        # One that grows is worth another try, however often.
        tries = 0 if part and part.size > size else tries + 1
        size = part.size if part else 0
        try:
            return _fetch(source, directory, call_sid, part, there, digest)
        except Unreachable as trouble:
            if tries >= TRIES or _part(directory, call_sid) is None:
                raise
            say(f"{call_sid} broke off: going on with it in a moment")
            time.sleep(pause_before_repeating(trouble))


def _fetch(
    source: _Source, directory: Path, call_sid: str, part: _Part | None, there: Path | None, digest: str | None
) -> Got | OnItsWay:
    """`part`: what has come of it; `there`, `digest`: a file of that name, whatever it is."""
    if part and part.digest.hexdigest() == part.wanted:
        return Got(part.named(), fetched=True)
    if part:
        more = {"Range": f"bytes={part.size}-", "If-Range": f'"{part.wanted}"'}
    else:
        more = {"If-None-Match": f'"{digest}"'} if digest else {}
    try:
        answer = patiently(lambda: source.open(call_sid, more))
    except Refused as refusal:
        if refusal.status != 416 or part is None:
            raise
        # It is as long as the whole, and is something else: nothing can be made of it.
        part.path.unlink()
        part, answer = None, patiently(lambda: source.open(call_sid, {}))
    if answer.status == 304 and there:
        return Got(there, fetched=False)
    if answer.status == 202:
        return OnItsWay()
    return Got(_take(answer, directory, call_sid, part), fetched=True)


def _take(answer: _Opened, directory: Path, call_sid: str, part: _Part | None) -> Path:
    """Write what comes to the end of what there is of it; name it. Raises Failed when it is not what it should be."""
    etag = _ETAG.fullmatch(answer.headers.get("etag", ""))
    if etag is None or answer.status not in (200, 206):
        raise Refused(answer.status, "what answers does not hand out recordings: does DIALER_URL name control?")
    if answer.status == 200 or part is None:
        if part:
            part.path.unlink()
        ending = "mp3" if answer.headers.get("content-type", "").startswith("audio/mpeg") else "wav"
        part = _Part(directory / f"{call_sid}.{ending}.{etag[1]}.part", 0, hashlib.sha256())
    with part.path.open("ab") as file:
        _alone(file, part)
        for chunk in answer.chunks:
            part.digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        if part.digest.hexdigest() != part.wanted:
            part.path.unlink()
            raise Failed(f"{call_sid} came damaged: its hash is not the one that was told; try again")
        return part.named()


def _alone(file: BinaryIO, part: _Part) -> None:
    """Keep other commands out until the file is closed. Raises Failed when one is at work on it, or has been."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = file.tell() == part.size and os.path.samestat(os.fstat(file.fileno()), part.path.stat())
    except (BlockingIOError, FileNotFoundError):
        same = False
    if not same:
        raise Failed(f"{part.path}: another command is at work on this")


def _part(directory: Path, call_sid: str) -> _Part | None:
    named = re.compile(rf"{call_sid}\.({'|'.join(ENDINGS)})\.[0-9a-f]{{64}}\.part")
    for path in directory.glob(f"{call_sid}.*.part"):
        if named.fullmatch(path.name):
            return _Part(path, path.stat().st_size, _digest(path))
    return None


def _digest(path: Path) -> "hashlib._Hash":
    """The running SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest
