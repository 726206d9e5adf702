"""The loop that fetches recordings, on a real database, a real folder and a simulated carrier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dialer.edges.carrier import Carrier
from dialer.edges.media import Media
from dialer.edges.recordings_store import RecordingsStore
from dialer.edges.shelf import Folder
from dialer.errors import DatabaseAway
from dialer.loops.recordings import Recordings, Terms
from dialer.rules.tally import Tally
from simulator import INSTANT, Simulator
from simulator.recordings import Recording
from tests.support.recordings import ACCOUNT, add_recordings, rows
from tests.support.runs import add_business
from tests.support.waiting import eventually

LEASE = 10.0


@dataclass
class Bench:
    """The loop and what is around it."""

    sim: Simulator
    db: Any
    store: RecordingsStore
    loop: Recordings
    root: Path
    tally: Tally
    now: float = 0.0

    def files(self) -> list[str]:
        return sorted(p.name for p in self.root.rglob("*") if p.is_file())

    async def stalled(self, count: int = 1) -> None:
        """So many downloads that have begun and do not go on."""
        self.sim.misbehave("media", "stall", seconds=600, times=None)
        await self.add(count)
        await self.loop.look()
        await eventually(lambda: len(self.files()) == count, timeout=10)

    async def add(self, count: int) -> None:
        """So many more that the carrier has and nobody has fetched."""
        known = {row["id"] for row in await rows(self.db)}
        await add_recordings(self.db, await add_business(self.db), count)
        for row in await rows(self.db):
            if row["id"] not in known:
                made = Recording(
                    row["recording_sid"], row["call_sid"], ACCOUNT, 1, status="completed", duration_seconds=1
                )
                made.bytes = 3_000_000
                self.sim.exchange.recordings[made.sid] = made

    async def tried(self) -> None:
        """One more, once; it is not tried again."""
        before = self.tally.recordings.total()
        await self.add(1)
        await self.loop.look()
        await eventually(lambda: self.tally.recordings.total() > before, timeout=10)
        await self.db.execute(
            "UPDATE recording_runs SET not_before = now() + interval '1 hour' WHERE status = 'queued'"
        )


@pytest.fixture
async def bench(database: str, pool: Any, tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(Simulator(INSTANT).serve())
        token = sim.settings.auth_token
        media = Media(ACCOUNT, token, sim.url, 60.0, 10)
        stack.push_async_callback(media.close)
        carrier = Carrier(ACCOUNT, token, sim.url, "http://127.0.0.1:1", 5.0)
        stack.push_async_callback(carrier.close)
        shelf = Folder(tmp_path / "store")
        stack.push_async_callback(shelf.close)
        store = await RecordingsStore.connect(database)
        stack.push_async_callback(store.close)
        tally = Tally()
        terms = Terms(uuid4(), 3, "mp3", LEASE, 30.0, 2.0)
        loop = Recordings(store, media, shelf, carrier, terms, lambda: made.now, lambda: None, tally)
        made = Bench(sim, pool, store, loop, tmp_path / "store", tally)
        yield made
        with suppress(DatabaseAway):
            await loop.drain(0.0)


async def test_a_lease_that_was_taken_ends_the_download_and_leaves_nothing(bench: Bench) -> None:
    await bench.stalled(2)
    [lost, kept] = await rows(bench.db)
    await bench.db.execute("UPDATE recording_runs SET lease_epoch = lease_epoch + 1 WHERE id = $1", lost["id"])
    await bench.loop.renew()
    await eventually(lambda: bench.files() == [f"{kept['call_sid']}.mp3.1.part"])
    [still, other] = await rows(bench.db)
    assert (still["status"], still["locked_by_worker"]) == ("running", lost["locked_by_worker"])
    assert other["last_heartbeat_at"] > kept["last_heartbeat_at"]


async def test_without_postgres_downloads_go_on_until_the_lease_is_nearly_over(bench: Bench) -> None:
    await bench.stalled()
    bench.store.terminate()
    bench.now = LEASE / 2
    with pytest.raises(DatabaseAway):
        await bench.loop.renew()
    assert len(bench.files()) == 1
    bench.now = LEASE
    with pytest.raises(DatabaseAway):
        await bench.loop.renew()
    await eventually(lambda: bench.files() == [])


async def test_a_drain_gives_everything_back_at_once(bench: Bench) -> None:
    await bench.stalled(3)
    await bench.loop.drain(0.0)
    assert {(r["status"], r["retry_count"], r["not_before"]) for r in await rows(bench.db)} == {
        ("queued", 0, None)
    }
    assert bench.files() == []
    await bench.loop.look()
    assert {r["status"] for r in await rows(bench.db)} == {"queued"}


async def test_each_try_is_counted_by_what_came_of_it(bench: Bench) -> None:
    bench.root.write_text("a file where the folder ought to be")
    await bench.tried()
    bench.root.unlink()
    for status in (404, 403, 200):
        if status != 200:
            bench.sim.misbehave("media", "error", status=status)
        await bench.tried()
    assert bench.tally.recordings == {"not_stored": 1, "again": 1, "failed": 1, "completed": 1}
