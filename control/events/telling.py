"""What the listeners of a business are told of what was read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from control.events import sse
from control.events.watched import Stream, Watched

# That a run is still held is not worth an event each second.
_BEATS = ("last_heartbeat_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Read:
    """Of one business: runs by id, jobs, and slots, as the API shows them."""

    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    slots: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Event:
    """`run_id`: the run it is about, if it is about one."""

    run_id: int | None
    frame: bytes
    is_of_job: bool = False


class Teller:
    """Puts events into streams; each is made once, for all who get it."""

    def __init__(self) -> None:
        self._frames = sse.Frames()

    def tell(self, watched: Watched, read: Read, greeted: set[Stream]) -> None:
        """What is new; to those that are greeted a snapshot first, which has all but the jobs."""
        events = list(self._news(watched, read))
        chunks: dict[tuple[int | None, bool], bytes] = {}
        greeted &= watched.streams | watched.newcomers
        for stream in watched.streams | greeted:
            kind = (stream.run_id, stream in greeted)
            if kind not in chunks:
                chunks[kind] = self._chunk(watched, read, events, *kind)
            if chunks[kind]:
                stream.put(chunks[kind])
        watched.newcomers -= greeted
        watched.streams |= greeted

    def _chunk(self, watched: Watched, read: Read, events: list[_Event], run_id: int | None, greet: bool) -> bytes:
        meant = (e for e in events if run_id is None or e.run_id in (None, run_id))
        if not greet:
            return b"".join(event.frame for event in meant)
        return self._snapshot(watched, read, run_id) + b"".join(e.frame for e in meant if e.is_of_job)

    def _news(self, watched: Watched, read: Read) -> Iterator[_Event]:
        for job in read.jobs:
            text = sse.as_json(job)
            if watched.is_news(("job", job["job_id"]), text):
                yield _Event(job["run_id"], self._frames.of("job", text), is_of_job=True)
        for run_id, run in read.runs.items():
            lasting = sse.as_json({name: value for name, value in run.items() if name not in _BEATS})
            if watched.is_news(("run", run_id), lasting):
                yield _Event(run_id, self._frames.of("run", sse.as_json(run)))
        if watched.is_news("slots", text := sse.as_json(read.slots)):
            yield _Event(None, self._frames.of("slots", text))

    def _snapshot(self, watched: Watched, read: Read, run_id: int | None) -> bytes:
        named = [run_id] if run_id is not None else watched.open_runs
        runs = [read.runs[number] for number in named if number in read.runs]
        if run_id is None:
            runs = [run for run in runs if run["ended_at"] is None]
        snapshot = {"runs": runs, "slots": read.slots}
        return self._frames.of("snapshot", sse.as_json(snapshot))
