"""Tells all listeners of this process what changes. The number of statements does not depend on theirs.

Where to look is said by changes that are heard of (changes.py: at once, other controls' too) and by an own
look every second (what daemons did; everything, while Redis is away). Both only name rows: what is told is read, by
one statement for all runs, one for all jobs, one for all slots, and only when it differs from what was told before.
All reading and telling is done in turns by one task: so no listener sees a thing go back to what it was.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from control.database import Database, Row
from control.events.telling import Read, Teller
from control.events.watched import Stream, Watched
from control.requests.limits import too_many
from control.requests.problems import unavailable
from dialer.rhythm import Rhythm

LOOK_EVERY_SECONDS = 1.0
# A turn without anything to look at asks nothing of the database.
TICK_SECONDS = 0.25
TURN_SECONDS = 0.1
# Longer than a look may be late, and a transaction that ended an attempt take to commit.
LOOK_BACK_SECONDS = 10.0
BLIND_AFTER_SECONDS = 5.0
MOST_RUNS = 500
MOST_JOBS_A_TURN = 1_000
MOST_STREAMS = 100
MOST_STREAMS_IN_ALL = 1_000
ASK_AGAIN_SECONDS = 5.0

Show = Callable[[Row], dict[str, Any]]


class Watcher:
    """Reads what changes, while there is somebody to be told."""

    def __init__(self, database: Database, *, show_run: Show, show_job: Show) -> None:
        self._database = database
        self._show_run = show_run
        self._show_job = show_job
        self._watched: dict[int, Watched] = {}
        self._teller = Teller()
        self._rhythm = Rhythm("watch", TICK_SECONDS, self._turn)
        self._looked_at = 0.0
        self._is_due = True
        self.is_closed = False

    @property
    def streams(self) -> list[Stream]:
        """Those that are open."""
        return [stream for watched in self._watched.values() for stream in watched.streams | watched.newcomers]

    def join(self, stream: Stream) -> None:
        """The stream gets a snapshot, then what changes, until `leave`. Raises AnswerWith 429 or 503."""
        if self.is_closed:
            raise unavailable("stopping", "this process is stopping; connect again")
        if len(self.streams) >= MOST_STREAMS_IN_ALL:
            raise unavailable("no_more_streams", "this process takes no more streams; connect again")
        watched = self._watched.setdefault(stream.business_id, Watched(stream.business_id))
        others = watched.streams | watched.newcomers
        # The operator's streams take no room from the business's own.
        if sum((other.key_id is None) == (stream.key_id is None) for other in others) >= MOST_STREAMS:
            raise too_many("too_many_streams", f"at most {MOST_STREAMS} streams of a business", ASK_AGAIN_SECONDS)
        watched.newcomers.add(stream)
        self._rhythm.wake()

    def leave(self, stream: Stream) -> None:
        watched = self._watched[stream.business_id]
        watched.streams.discard(stream)
        watched.newcomers.discard(stream)
        if not (watched.streams or watched.newcomers):
            del self._watched[stream.business_id]

    def heard(self, business_id: int, run_id: int | None, job_id: int | None) -> None:
        """Something has changed, here or elsewhere."""
        watched = self._watched.get(business_id)
        if watched is not None:
            watched.touch(run_id, job_id)
            self._rhythm.wake()

    async def look_again(self) -> None:
        """Changes may not have been heard of."""
        self._is_due = True
        self._rhythm.wake()

    async def close(self) -> None:
        """The process stops: let all clients go, and take no new ones."""
        self.is_closed = True
        for stream in self.streams:
            stream.end("stop")

    async def run(self) -> None:
        """For ever, until cancelled."""
        await self._rhythm.run()

    async def _turn(self) -> None:
        for stream in self.streams:
            if stream.is_gone:
                stream.end("gone")
        everybody = list(self._watched.values())
        if not everybody:
            return
        if time.monotonic() - self._looked_at > BLIND_AFTER_SECONDS:
            for watched in everybody:
                watched.stale = True
        greeted = {watched.business_id: watched.to_greet() for watched in everybody}
        try:
            await self._look(everybody, greeted)
            await self._read_and_tell([watched for watched in everybody if watched.is_touched], greeted)
        except Exception:
            # What had changed is not remembered any more: begin anew.
            for watched in everybody:
                watched.stale = True
            raise
        await asyncio.sleep(TURN_SECONDS)

    async def _look(self, everybody: list[Watched], greeted: dict[int, set[Stream]]) -> None:
        """At all businesses when it is time, else at those of streams that are greeted."""
        now = time.monotonic()
        if self._is_due or now - self._looked_at >= LOOK_EVERY_SECONDS:
            looked = everybody
            await self._part_with_revoked()
            self._looked_at, self._is_due = now, False
        else:
            looked = [watched for watched in everybody if greeted[watched.business_id]]
        if looked:
            await self._see(looked)

    async def _see(self, looked: list[Watched]) -> None:
        ids = [watched.business_id for watched in looked]
        runs = _by_business(await self._database.rows("stream_runs", ids, MOST_RUNS))
        attempts = _by_business(await self._database.rows("stream_attempts", ids, LOOK_BACK_SECONDS))
        for watched in looked:
            watched.see([row["run_id"] for row in runs[watched.business_id]], attempts[watched.business_id])

    async def _part_with_revoked(self) -> None:
        keys = {stream.key_id for stream in self.streams if stream.key_id is not None}
        if not keys:
            return
        good = {row["key_id"] for row in await self._database.rows("keys_in_force", list(keys))}
        for stream in self.streams:
            if stream.key_id is not None and stream.key_id not in good:
                stream.end("revoked")

    async def _read_and_tell(self, touched: list[Watched], greeted: dict[int, set[Stream]]) -> None:
        run_ids: set[int] = set()
        job_ids: set[int] = set()
        for watched in touched:
            runs, jobs = watched.take(MOST_JOBS_A_TURN - len(job_ids))
            run_ids |= runs
            job_ids |= jobs
        read = await self._read(run_ids, job_ids, [watched.business_id for watched in touched])
        for watched in touched:
            self._teller.tell(watched, read[watched.business_id], greeted[watched.business_id])
            if watched.is_touched:
                self._rhythm.wake()

    async def _read(self, runs: set[int], jobs: set[int], businesses: list[int]) -> dict[int, Read]:
        read: dict[int, Read] = defaultdict(Read)
        for row in await self._database.rows("show_runs", list(runs)) if runs else ():
            read[row["business_id"]].runs[row["run_id"]] = self._show_run(row)
        for row in await self._database.rows("stream_jobs", list(jobs)) if jobs else ():
            read[row["business_id"]].jobs.append(self._show_job(row))
        for row in await self._database.rows("stream_slots", businesses) if businesses else ():
            read[row["business_id"]].slots.update({name: row[name] for name in ("active", "limit", "waiting")})
        return read


def _by_business(rows: list[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["business_id"]].append(row)
    return found
