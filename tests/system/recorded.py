"""Recordings in the whole system: what is asked of rows, files and the carrier's ledger at the end of each test."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually
from tests.system.stack import Stack

# Recordings ten to twenty times as fast as in life; the carrier's callbacks as in the other tests.
HASTY = {
    "CALL_SILENT_AFTER_SECONDS": "1",
    "RECORDING_RETRY_SECONDS": "0.1",
    "RECORDING_STALL_SECONDS": "2",
    "TAKEOVER_AFTER_SECONDS": "1.2",
    "HEARTBEAT_INTERVAL_SECONDS": "0.3",
}


async def rows(system: Stack) -> list[Any]:
    return list(await system.db.fetch("SELECT * FROM recording_runs ORDER BY id"))


async def settled(system: Stack, count: int, timeout: float = 60) -> list[Any]:
    """Wait until so many recordings have ended, one way or the other."""

    async def look() -> list[Any]:
        found = await rows(system)
        ended = [r for r in found if r["status"] in ("completed", "failed", "cancelled")]
        states = Counter((r["status"], r["error_code"]) for r in found)
        assert len(ended) == len(found) >= count, states
        return found

    return await eventually(look, timeout=timeout, interval=0.1)


def files(directory: Path) -> list[Path]:
    """Everything in the store."""
    return [p for p in directory.rglob("*") if p.is_file()]


def sha256_of_carrier(system: Stack, recording_sid: str, ending: str = ".mp3") -> str:
    """The hash of the sound as the carrier has it."""
    sound = system.sim.exchange.recordings[recording_sid].sound(ending)
    digest = hashlib.sha256()
    for at in range(0, len(sound), 1_000_000):
        digest.update(sound[at : at + 1_000_000])
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1_000_000):
            digest.update(block)
    return digest.hexdigest()


def assert_whole(system: Stack, directory: Path, found: list[Any], *, parts: int = 0) -> None:
    """One whole file for each completed row, with the carrier's content; no other file, and none unfinished."""
    completed = [r for r in found if r["status"] == "completed"]
    for row in completed:
        path = directory / row["file_name"]
        assert path.stat().st_size == row["bytes"]
        assert (
            sha256_of_file(path) == row["sha256"] == sha256_of_carrier(system, row["recording_sid"], path.suffix)
        )
    kept = files(directory)
    assert len([p for p in kept if p.suffix == ".part"]) <= parts
    assert {str(p.relative_to(directory)) for p in kept if p.suffix != ".part"} == {
        r["file_name"] for r in completed
    }
    for row in found:
        if row["status"] == "failed":
            assert row["error_code"]
            assert str(directory) not in row["error_message"]


def assert_read_once(system: Stack, found: list[Any]) -> None:
    """Nobody got a recording from the carrier twice from end to end."""
    for row in found:
        if row["status"] == "completed":
            read = system.sim.ledger.media_of(row["recording_sid"])
            assert sum(r.whole for r in read) == 1, read
