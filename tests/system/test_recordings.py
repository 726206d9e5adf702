"""Recordings, from the run that asks for them to the file: every one fetched once, whole."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from simulator import INSTANT
from tests.support.buckets import BUCKET, s3_server
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.recorded import HASTY, assert_read_once, assert_whole, files, rows, settled, sha256_of_carrier
from tests.system.stack import TOKEN, Process, Stack, numbers


async def record(system: Stack, count: int, business: int | None = None) -> int:
    """A run of so many recorded calls, all answered; waits for its end."""
    if business is None:
        business = await system.business(limit=50)
    run = await system.start(business, list(numbers(count, last_two=1)), record=True)
    await system.ended(run, timeout=120)
    return run


async def test_a_recorded_call_ends_as_a_file(make_stack: MakeStack, tmp_path: Path) -> None:
    store = tmp_path / "store"
    async with make_stack(
        INSTANT.changed({"recording_seconds": 0.2}), RECORDINGS_DIR=str(store), **HASTY
    ) as system:
        daemon = await system.daemon()
        run = await record(system, 3)
        found = await settled(system, 3)
        assert {r["run_id"] for r in found} == {run}
        assert Counter(r["status"] for r in found) == {"completed": 3}
        assert_whole(system, store, found)
        assert_read_once(system, found)
        done = daemon.events("WORKER_DOWNLOAD_DONE")
        assert {e["file"] for e in done} == {f"{r['call_sid']}.mp3" for r in found}
        assert all(e.keys() >= {"job_type", "business_id", "call_sid", "bytes", "duration_ms"} for e in done)
        assert len(daemon.events("WORKER_PICKED", "WORKER_SLOT_ACQUIRED", "WORKER_RELEASE_SLOT")) >= 9
        assert str(store) not in daemon.log.read_text()
        url = f"{system.url}/api/recordings/file/{found[0]['call_sid']}"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with system.http.get(
            url, headers=headers, params={"business_id": found[0]["business_id"]}
        ) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/mpeg")
            assert hashlib.sha256(await answer.read()).hexdigest() == found[0]["sha256"]
        await system.check(run)


async def test_a_large_recording_costs_a_daemon_no_memory(make_stack: MakeStack, tmp_path: Path) -> None:
    store = tmp_path / "store"
    carrier = INSTANT.changed({"recording_bytes": 120_000_000})
    async with make_stack(carrier, RECORDINGS_DIR=str(store), **HASTY) as system:
        daemon = await system.daemon()
        before = most_memory(daemon)
        await record(system, 1)
        assert_whole(system, store, await settled(system, 1))
        assert most_memory(daemon) - before < 40_000_000


def most_memory(process: Process) -> int:
    """The most that it ever had resident, in bytes."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.timeout(300)
async def test_five_hundred_under_every_fault(make_stack: MakeStack, tmp_path: Path) -> None:
    """Callbacks twice, late and lost; 404, errors, cuts, halves and a stall; a large one: one whole file each."""
    store = tmp_path / "store"
    carrier = INSTANT.changed({"recording_seconds": 0.3, "jitter": 0.9, "seed": 5})
    async with make_stack(carrier, RECORDINGS_DIR=str(store), **HASTY) as system:
        sim = system.sim
        sim.misbehave("callback", "duplicate", kind="recording", probability=0.2, times=None)
        sim.misbehave("callback", "late", kind="recording", seconds=1.0, probability=0.1, times=None)
        sim.misbehave("callback", "lose", kind="recording", probability=0.1, times=None)
        sim.misbehave("media", "stall", seconds=20)
        for do, status, probability in (
            ("error", 404, 0.1),
            ("error", 503, 0.05),
            ("cut", None, 0.07),
            ("truncate", None, 0.07),
            ("drop", None, 0.05),
        ):
            sim.misbehave("media", do, status=status, probability=probability, times=None)
        sim.misbehave("media", "error", status=403, to=next(numbers(1, last_two=1)), times=None)
        for _ in range(2):
            await system.daemon()
        businesses = [await system.business(limit=50, name=f"b{n}") for n in range(5)]
        runs = await asyncio.gather(*(record(system, 99, business) for business in businesses))
        sim.change(recording_bytes=20_000_000)
        runs.append(await record(system, 5))
        found = await settled(system, 500, timeout=120)
        assert len(found) == len({r["call_sid"] for r in found}) == 500
        assert_failures_are_logged(system, store, found)
        failed = Counter(r["error_code"] for r in found if r["status"] == "failed")
        # The number that is refused is the first of each run.
        assert failed.pop("refused") == 6
        assert sum(failed.values()) <= 3, failed
        assert_whole(system, store, found)
        assert_read_once(system, found)
        await system.check(*runs)


def assert_failures_are_logged(system: Stack, store: Path, found: list[Any]) -> None:
    """Each once, by name and reason; no path, no secret, nothing that the carrier wrote."""
    logged = [e for p in system.processes for e in p.events("WORKER_JOB_FAILED")]
    failed = {r["call_sid"]: r for r in found if r["status"] == "failed"}
    assert {e["call_sid"]: (e["job_type"], e["business_id"], e["type"], e["reason"]) for e in logged} == {
        call: ("recording", r["business_id"], r["error_code"], r["error_message"]) for call, r in failed.items()
    }
    assert len(logged) == len(failed)
    for process in system.processes:
        text = process.log.read_text()
        assert str(store) not in text
        assert system.sim.settings.auth_token not in text


async def test_waiting_recordings_of_one_business_do_not_delay_anothers(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    """Of the busy one three are fetched at once over both daemons; the rest waits, and fails in nothing."""
    slow = {**HASTY, "RECORDING_STALL_SECONDS": "30"}
    async with make_stack(INSTANT, RECORDINGS_DIR=str(tmp_path / "store"), **slow) as system:
        busy_number = "+15005550007"
        system.sim.misbehave("media", "stall", from_number=busy_number, times=None, seconds=60)
        for _ in range(2):
            await system.daemon()
        busy = await system.business(limit=50, from_number=busy_number)
        other = await system.business(limit=50)
        run = await system.start(busy, list(numbers(50, last_two=1)), record=True, from_number=busy_number)
        await system.ended(run)
        await eventually(lambda: running(system, busy, 3), timeout=10)
        await record(system, 10, other)

        async def others_are_done() -> bool:
            found = await rows(system)
            held = Counter(r["business_id"] for r in found if r["status"] == "running")
            assert held[busy] <= 3, held
            return Counter(r["status"] for r in found)["completed"] == 10

        await eventually(others_are_done, timeout=15, interval=0.05)
        waiting = [r for r in await rows(system) if r["business_id"] == busy and r["status"] != "running"]
        assert {(r["status"], r["retry_count"], r["error_code"]) for r in waiting} == {("queued", 0, None)}
        assert len(waiting) == 47


async def running(system: Stack, business: int, count: int) -> bool:
    found = [r for r in await rows(system) if r["business_id"] == business and r["status"] == "running"]
    assert len(found) <= count
    return len(found) == count


async def test_a_daemon_that_drains_gives_its_download_back(make_stack: MakeStack, tmp_path: Path) -> None:
    store = tmp_path / "store"
    slow = {**HASTY, "RECORDING_STALL_SECONDS": "30", "TAKEOVER_AFTER_SECONDS": "30"}
    carrier = INSTANT.changed({"recording_bytes": 3_000_000})
    async with make_stack(carrier, RECORDINGS_DIR=str(store), **slow) as system:
        system.sim.misbehave("media", "stall", seconds=60)
        first = await system.daemon()
        run = await record(system, 1)
        await eventually(lambda: [p for p in files(store) if p.stat().st_size > 0], timeout=10)
        first.send(signal.SIGTERM)
        assert await first.ends(10) == 0
        [row] = await rows(system)
        assert (row["status"], row["retry_count"], row["error_code"]) == ("queued", 0, None)
        assert files(store) == []
        # Nobody waits for its lease to expire: that would take longer than this test.
        await system.daemon()
        assert_whole(system, store, await settled(system, 1, timeout=20))
        await system.check(run)


async def test_recordings_that_were_not_made_have_failed(make_stack: MakeStack, tmp_path: Path) -> None:
    """Told by a callback; told by the list alone; and never heard of at all."""
    quick = {**HASTY, "CALL_SILENT_AFTER_SECONDS": "0.2"}
    async with make_stack(INSTANT, RECORDINGS_DIR=str(tmp_path / "store"), **quick) as system:
        sim = system.sim
        sim.change(recordings_absent=True)
        await system.daemon()
        await record(system, 2)
        sim.misbehave("callback", "lose", kind="recording", times=None)
        await record(system, 2)
        await settled(system, 4)
        sim.change(recording_seconds=3600)
        await record(system, 2)
        sim.exchange.recordings.clear()
        found = await settled(system, 6, timeout=30)
        assert {(r["status"], r["error_code"]) for r in found} == {("failed", "absent")}
        assert files(tmp_path / "store") == []


async def test_recordings_go_into_a_bucket(make_stack: MakeStack, tmp_path: Path) -> None:
    with s3_server() as environment:
        url = {"RECORDINGS_URL": f"s3://{BUCKET}/below"}
        async with make_stack(
            INSTANT.changed({"recording_bytes": 7_000_000}), **url, **environment, **HASTY
        ) as system:
            daemon = await system.daemon()
            run = await record(system, 3)
            found = await settled(system, 3)
            assert Counter(r["status"] for r in found) == {"completed": 3}
            for row in found:
                async with system.http.get(
                    f"{environment['AWS_ENDPOINT_URL_S3']}/{BUCKET}/below/{row['file_name']}"
                ) as kept:
                    content = await kept.read()
                assert hashlib.sha256(content).hexdigest() == row["sha256"]
                assert row["sha256"] == sha256_of_carrier(system, row["recording_sid"])
            assert_read_once(system, found)
            daemon.send(signal.SIGTERM)
            assert await daemon.ends() == 0
            await system.check(run)


async def test_what_was_kept_long_enough_goes_and_the_carriers_copy_once_ours_is_safe(
    make_stack: MakeStack, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    two_seconds = str(2 / 86_400)
    settings = {"RECORDING_RETENTION_DAYS": two_seconds, "RECORDING_DELETE_AT_CARRIER": "1", **HASTY}
    async with make_stack(INSTANT, RECORDINGS_DIR=str(store), **settings) as system:
        await system.daemon()
        await record(system, 2)

        async def all_is_gone() -> bool:
            found = await rows(system)
            return len(found) == 2 and all(r["deleted_at"] and r["carrier_deleted_at"] for r in found)

        await eventually(all_is_gone, timeout=20, interval=0.1)
        assert {(r["status"], r["file_name"], r["sha256"], r["bytes"]) for r in await rows(system)} == {
            ("completed", None, None, None)
        }
        assert files(store) == []
        assert system.sim.exchange.recordings == {}
