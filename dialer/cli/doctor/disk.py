"""Disks: whether there is room where data and recordings lie, and whether it may be written."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View

GIB = 2**30
NOTABLE, LEAST = 2 * GIB, GIB // 4


@dataclass(frozen=True, slots=True)
class Room:
    """`free` and `total` in bytes, of the file system that `path` is on, or will be."""

    path: Path
    free: int
    total: int
    is_directory: bool
    may_write: bool


async def look(view: View) -> list[Finding]:
    settings = view.settings
    found = [judge("data directory", room(settings.dialer_data_dir.absolute()))]
    if settings.recordings_url is not None:
        return [*found, ok("recordings", "they go to a bucket, which is not looked at")]
    return [*found, judge("recordings", room(settings.recordings_root.absolute()))]


def room(path: Path) -> Room:
    """What is not there yet will be made where its nearest parent is."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    usage = shutil.disk_usage(there)
    return Room(path, usage.free, usage.total, there.is_dir(), os.access(there, os.W_OK))


def judge(what: str, room: Room) -> Finding:
    check = f"disk: {what}"
    if not room.is_directory:
        return fail(check, f"{room.path} is, or is below, a file", "name a directory")
    if not room.may_write:
        advice = "let the processes' user own it (this was asked as the user of this command)"
        return fail(check, f"{room.path} cannot be written", advice)
    found = f"{room.free / GIB:.1f} of {room.total / GIB:.1f} GiB are free at {room.path}"
    if room.free < LEAST:
        return fail(check, found, "make room now: Postgres stops when it cannot write, and no call is placed")
    if room.free < NOTABLE:
        return warn(check, found, "make room; for recordings see RECORDING_RETENTION_DAYS")
    return ok(check, found)
