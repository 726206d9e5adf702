"""A run that this process holds, as it sees it. Postgres decides; this only says what is worth asking for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from dialer.rules.model import Business, Terms

REFUSALS_THAT_PAUSE = 5


@dataclass(slots=True)
class Holding:
    """What is known of a held run. `live` and `reserved` map attempt ids to slots."""

    terms: Terms
    trusted_from: float
    limit: int
    queued: int
    held: bool = True
    cursor: int = -1
    refusals_in_a_row: int = 0
    rest_until: float = 0.0
    tickets: list[UUID] = field(default_factory=list)
    reserved: dict[UUID, int] = field(default_factory=dict)
    live: dict[UUID, int] = field(default_factory=dict)
    live_since: dict[UUID, float] = field(default_factory=dict)
    jobs: dict[UUID, int] = field(default_factory=dict)
    # Attempts of ours whose create has no answer yet.
    unanswered: set[UUID] = field(default_factory=set)

    @classmethod
    def of(cls, terms: Terms, claimed_at: float) -> "Holding":
        """A run just claimed; `claimed_at` is when the claim was sent (not when it was answered)."""
        return cls(terms, claimed_at, terms.business_limit, terms.queued)

    def wanted(self, now: float) -> int:
        """How many more slots this run can use now, besides those it has been named already."""
        if not self.held or now < self.rest_until:
            return 0
        room = min(self.terms.concurrency, self.limit) - len(self.live) - len(self.reserved)
        # With refusals in a row, never more on the way than it takes to reach the number that pauses the run.
        if self.refusals_in_a_row:
            unsettled = len(self.reserved) + len(self.unanswered)
            room = min(room, REFUSALS_THAT_PAUSE - self.refusals_in_a_row - unsettled)
        return max(min(room, self.queued - len(self.reserved)), 0)

    def began(self, attempt_id: UUID, slot: int, job_id: int | None, now: float) -> None:
        """An attempt of this run may have a call from now on."""
        self.reserved.pop(attempt_id, None)
        self.live[attempt_id] = slot
        self.live_since[attempt_id] = now
        if job_id is not None:
            self.jobs[attempt_id] = job_id

    def ended(self, attempt_id: UUID) -> tuple[int, int | None] | None:
        """The attempt has no call (any more): its slot and its job, or None when that was known."""
        slot = self.live.pop(attempt_id, None)
        self.live_since.pop(attempt_id, None)
        job = self.jobs.pop(attempt_id, None)
        return None if slot is None else (slot, job)

    def came_back(self) -> None:
        """A job is in the queue again: look from the list's beginning."""
        self.queued += 1
        self.cursor = -1

    def found_nothing(self, now: float, rest_seconds: float) -> None:
        """Nothing behind the cursor: start again; nothing behind the beginning either: rest a while."""
        if self.cursor >= 0:
            self.cursor = -1
        else:
            self.rest_until = now + rest_seconds


def is_trusted(holding: Holding, now: float, lease_seconds: float, margin_seconds: float) -> bool:
    """Is the lease certainly still ours? `trusted_from` is when the last good beat was *sent*."""
    return holding.held and now < holding.trusted_from + lease_seconds - margin_seconds


def is_as_shown(runs: Collection[Holding], business: Business, members: Mapping[int, str], now: float) -> bool:
    """Do the runs held here have all the calls of the business, want no more, and do Redis and Postgres show just
    these? `members`: slot -> attempt, as Redis has them. Then there is nothing to tell anybody.
    """
    if not runs or any(h.limit != business.limit or h.reserved or h.wanted(now) for h in runs):
        return False
    ours = {attempt_id for holding in runs for attempt_id in holding.live}
    if len(ours) != len(business.live) or len(members) != len(business.live):
        return False
    return all(a.attempt_id in ours and members.get(a.slot) == str(a.attempt_id) for a in business.live)
