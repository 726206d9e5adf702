"""What the log says of a business's waiting line: OUTBOUND_ENQUEUE, QUEUED, NEXT and DONE, in that order."""

from collections.abc import Iterable
from dataclasses import dataclass, field

LOOK_AHEAD = 100
REFILL_BELOW = 25


@dataclass(frozen=True, slots=True)
class LineEvent:
    """One log event of a job. `queue_len` only where it waits."""

    event: str
    job_id: int
    active: int
    queue_len: int | None = None


@dataclass(slots=True)
class WaitingLine:
    """The jobs of a run that the log has spoken of and that are not dialed yet: job id -> does it wait?"""

    announced: dict[int, bool] = field(default_factory=dict)
    seen_to: int = -1

    def needs_more(self) -> bool:
        """Is it time to look further down the list?"""
        return len(self.announced) < REFILL_BELOW

    def arrive(self, jobs: Iterable[tuple[int, int]], active: int, room: int) -> list[LineEvent]:
        """Jobs (id, position) join the line; the first `room` of them find a slot, the others wait."""
        events = []
        going = sum(not waits for waits in self.announced.values())
        for job_id, position in jobs:
            self.seen_to = max(self.seen_to, position)
            if job_id in self.announced:
                continue
            waits = going >= room
            going += not waits
            self.announced[job_id] = waits
            events.append(LineEvent("OUTBOUND_ENQUEUE", job_id, active))
            if waits:
                events.append(LineEvent("OUTBOUND_QUEUED", job_id, active, self.waiting()))
        return events

    def dialed(self, job_id: int, active: int) -> list[LineEvent]:
        """A job was taken out of the queue."""
        waits = self.announced.pop(job_id, None)
        if waits is None:
            return [LineEvent("OUTBOUND_ENQUEUE", job_id, active)]
        return [LineEvent("OUTBOUND_NEXT", job_id, active)] if waits else []

    def came_back(self, job_id: int, active: int) -> list[LineEvent]:
        """A job that was dialed waits again: the carrier had not processed it."""
        self.announced[job_id] = True
        return [LineEvent("OUTBOUND_QUEUED", job_id, active, self.waiting())]

    def waiting(self) -> int:
        """How many of the announced jobs wait."""
        return sum(self.announced.values())


def done(job_id: int, active: int) -> LineEvent:
    """A call has ended; `active` are left."""
    return LineEvent("OUTBOUND_DONE", job_id, active)
