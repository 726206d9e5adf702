"""A business that somebody listens to, and the streams of its listeners."""

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from uuid import UUID

from control.database import Row
from dialer.rhythm import wait_or

# A client that is so far behind is cut. The chunks are the same objects for all clients of a business.
MOST_CHUNKS = 64
MOST_CHUNK_BYTES = 4 * 1024 * 1024
MOST_TOLD = 5_000
MOST_TOUCHED = 20_000


class Stream:
    """What waits to be written to one client. Bounded: who does not keep up is cut."""

    def __init__(
        self, business_id: int, run_id: int | None, key_id: int | None, transport: asyncio.Transport
    ) -> None:
        self.business_id = business_id
        self.run_id = run_id
        self.key_id = key_id
        self.ended: str | None = None
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()

    @property
    def is_gone(self) -> bool:
        """The client has hung up."""
        return self._transport.is_closing()

    @property
    def kept_bytes(self) -> int:
        """What waits for this client, here and in its connection."""
        return self._bytes + self._transport.get_write_buffer_size()

    def put(self, chunk: bytes) -> None:
        """Another chunk of events, at once; or the client is too slow, and this is its end."""
        if len(self._chunks) >= MOST_CHUNKS or (self._chunks and self._bytes + len(chunk) > MOST_CHUNK_BYTES):
            self.cut("too slow")
        elif self.ended is None:
            self._chunks.append(chunk)
            self._bytes += len(chunk)
            self._news.set()

    async def take(self, within: float) -> bytes:
        """What is next; nothing when it has ended, or nothing came for so many seconds."""
        await wait_or(self._news, within)
        if self.ended is not None or not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self._bytes -= len(chunk)
        if not self._chunks:
            self._news.clear()
        return chunk

    def end(self, why: str) -> None:
        """No more events. A client that reads sees a proper end; one that does not is not waited for."""
        if self.ended is None:
            self.ended = why
            self._chunks.clear()
            self._bytes = 0
            self._news.set()
            if self._transport.get_write_buffer_size() > 0:
                self._transport.abort()

    def cut(self, why: str) -> None:
        """Break the connection: nothing is kept for it any longer."""
        self.end(why)
        self._transport.abort()


class Watched:
    """What listeners of a business were told last, and what may have changed since ("touched")."""

    def __init__(self, business_id: int) -> None:
        self.business_id = business_id
        self.streams: set[Stream] = set()
        self.newcomers: set[Stream] = set()
        # All listeners get a new snapshot: changes were missed.
        self.stale = False
        self.runs: set[int] = set()
        self.jobs: set[int] = set()
        self.slots = False
        self.open_runs: list[int] = []
        self._live: dict[int, str] | None = None
        self._ended: set[UUID] = set()
        self._told: OrderedDict[Hashable, int] = OrderedDict()

    @property
    def is_touched(self) -> bool:
        return bool(self.slots or self.runs or self.jobs)

    def to_greet(self) -> set[Stream]:
        """Those that a snapshot is due to; what they named is looked at."""
        due = self.newcomers | (self.streams if self.stale else set())
        self.stale = False
        self.runs |= {stream.run_id for stream in due if stream.run_id is not None}
        return due

    def take(self, most_jobs: int) -> tuple[set[int], set[int]]:
        """The runs and jobs that were touched, of these at most so many; the others stay."""
        runs, self.runs = self.runs, set()
        jobs = set(itertools.islice(self.jobs, most_jobs))
        self.jobs -= jobs
        self.slots = False
        return runs, jobs

    def touch(self, run_id: int | None, job_id: int | None) -> None:
        """Something of it has changed, or may have."""
        self.slots = True
        if run_id is not None:
            self.runs.add(run_id)
        if job_id is not None:
            self.jobs.add(job_id)
        if len(self.jobs) > MOST_TOUCHED:
            self.jobs.clear()
            self.stale = True

    def see(self, open_runs: list[int], attempts: Sequence[Row]) -> None:
        """Compare with what was seen last: `attempts` are those that go on, and those that ended lately."""
        live = {row["job_id"]: row["state"] for row in attempts if row["state"] != "ended"}
        ended = {row["attempt_id"]: row for row in attempts if row["state"] == "ended"}
        self.slots = True
        self.runs |= {*open_runs, *self.open_runs}
        if self._live is not None:
            moved = {job for job, state in live.items() if self._live.get(job) != state}
            self.jobs |= moved | (self._live.keys() - live.keys())
            for attempt_id in ended.keys() - self._ended:
                self.touch(ended[attempt_id]["run_id"], ended[attempt_id]["job_id"])
        self.open_runs, self._live, self._ended = open_runs, live, set(ended)

    def is_news(self, what: Hashable, content: str) -> bool:
        """Whether listeners were told something else of it before; from now on they were told this."""
        digest = hash(content)
        before = self._told.pop(what, None)
        self._told[what] = digest
        if len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        return before != digest
