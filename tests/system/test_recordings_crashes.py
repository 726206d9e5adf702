"""A daemon ends, or sleeps past its lease, at every point of a download: another finishes it, whole, and once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from dialer.crashpoints import POINTS
from simulator import INSTANT
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.recorded import HASTY, assert_whole, files, settled
from tests.system.stack import Stack, numbers
from tests.system.test_crash_points import is_at_its_point

OF_RECORDINGS = tuple(p for p in POINTS if p.startswith("recording."))
# Where it holds something that another will want: before, it is as good as dead.
HOLDING = tuple(
    p for p in OF_RECORDINGS if p.split(".")[1] in ("streaming", "received", "synced", "named", "kept")
)
# Once the file has its name nobody asks the carrier for it again.
NAMED = ("recording.named", "recording.kept", "recording.completed")
# Its lease is three seconds long then.
QUICK = {**HASTY, "TAKEOVER_AFTER_SECONDS": "0.6", "HEARTBEAT_INTERVAL_SECONDS": "0.15"}
LARGE = INSTANT.changed({"recording_bytes": 3_000_000})


async def record_one(system: Stack) -> int:
    return await system.start(await system.business(), list(numbers(1, last_two=1)), record=True)


def whole_reads(system: Stack, recording_sid: str) -> int:
    return sum(r.whole for r in system.sim.ledger.media_of(recording_sid))


@pytest.mark.parametrize("point", OF_RECORDINGS)
async def test_killed(make_stack: MakeStack, tmp_path: Path, point: str) -> None:
    store = tmp_path / "store"
    async with make_stack(LARGE, RECORDINGS_DIR=str(store), **QUICK) as system:
        armed = await system.daemon(DIALER_CRASH_POINTS=f"{point}=kill")
        run = await record_one(system)
        await armed.ends()
        left = files(store)
        assert len([p for p in left if p.suffix == ".mp3"]) == (point in NAMED)
        await system.daemon()
        found = await settled(system, 1, timeout=20)
        assert [r["status"] for r in found] == ["completed"]
        assert_whole(system, store, found)
        assert whole_reads(system, found[0]["recording_sid"]) <= (1 if point in NAMED else 2)
        await system.check(run)


@pytest.mark.parametrize("point", ["recording.claimed", "recording.streaming", "recording.kept"])
async def test_its_connections_to_postgres_cut(make_stack: MakeStack, tmp_path: Path, point: str) -> None:
    """It goes on by itself: what it has fetched it does not fetch again."""
    store = tmp_path / "store"
    async with make_stack(LARGE, RECORDINGS_DIR=str(store), **QUICK) as system:
        armed = await system.daemon(DIALER_CRASH_POINTS=f"{point}=freeze")
        run = await record_one(system)
        await eventually(lambda: is_at_its_point(armed), timeout=20, description="the point was passed")
        await system.db.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        armed.send(signal.SIGCONT)
        found = await settled(system, 1, timeout=20)
        assert [(r["status"], r["lease_epoch"]) for r in found] == [("completed", 1)]
        assert_whole(system, store, found)
        assert whole_reads(system, found[0]["recording_sid"]) == 1
        await system.check(run)


@pytest.mark.parametrize("point", HOLDING)
async def test_asleep_past_its_lease(make_stack: MakeStack, tmp_path: Path, point: str) -> None:
    """The other has finished when it wakes up: what it still does changes nothing."""
    store = tmp_path / "store"
    async with make_stack(LARGE, RECORDINGS_DIR=str(store), **QUICK) as system:
        armed = await system.daemon(DIALER_CRASH_POINTS=f"{point}=freeze")
        run = await record_one(system)
        await eventually(lambda: is_at_its_point(armed), timeout=20, description="the point was passed")
        other = await system.daemon()
        before = await settled(system, 1, timeout=20)
        armed.send(signal.SIGCONT)
        await eventually(lambda: armed.events("WORKER_RELEASE_SLOT"), timeout=10)
        found = await settled(system, 1)
        assert found == before
        assert [r["status"] for r in found] == ["completed"]
        assert_whole(system, store, found)
        for process in (armed, other):
            process.send(signal.SIGTERM)
            assert await process.ends() == 0
        assert_whole(system, store, found)
        await system.check(run)
