"""What one daemon remembers, and what it makes of the answers it gets: desk, caller and roster without their timing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from dialer.edges.slots import Slots, Turn
from dialer.edges.store import SilentAttempt, UnknownAttempt
from dialer.rules.holding import Holding, is_trusted
from dialer.rules.model import Business, Grant, Intent, Intents, LiveAttempt, Refusal, Terms
from dialer.rules.outcome import Outcome

LEASE_SECONDS = 6.0
MARGIN_SECONDS = 1.0
# What Postgres showed says nothing of attempts that are younger than this.
GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Work:
    """A committed intent of ours, and under which lease we wrote it."""

    holding: Holding
    intent: Intent
    intended_at: float


@dataclass(frozen=True)
class Answered:
    """What came of a create, not written down yet."""

    work: Work
    outcome: Outcome


@dataclass(frozen=True)
class Reading:
    """What Postgres showed of a business, and Redis's clock before it was read."""

    business: Business
    read_ms: int
    read_at: float


@dataclass
class Inquiry:
    """A look-up taken on. `found` is the carrier's answer: SID -> status; None: it failed, or was not asked yet."""

    attempt: UnknownAttempt | SilentAttempt
    asked: bool = False
    found: dict[str, str] | None = None


class Daemon:
    """State: everything that a crash loses."""

    def __init__(self, worker: UUID, slots: Slots, new_id: Callable[[], UUID]) -> None:
        self.id = worker
        self.slots = slots
        self.frozen = False
        self.runs: dict[int, Holding] = {}
        self.unsent: dict[UUID, Work] = {}
        self.waiting: dict[UUID, Work] = {}
        self.answered: dict[UUID, Answered] = {}
        self.uncertain: list[tuple[Holding, list[UUID]]] = []
        self.readings: dict[int, Reading] = {}
        self.inquiries: list[Inquiry] = []
        self._new_id = new_id
        self._next: dict[int, Turn] = {}
        self._limits: dict[int, int] = {}
        self._in_line: defaultdict[int, set[int]] = defaultdict(set)

    def __repr__(self) -> str:
        return f"daemon {self.id.int}"

    # -- runs -------------------------------------------------------------------------------------------

    def take(self, terms: Sequence[Terms], live: Sequence[LiveAttempt], now: float) -> None:
        """Runs were claimed."""
        for run in terms:
            self.lose(run.run_id)
            self._limits[run.business_id] = run.business_limit
            holding = self.runs[run.run_id] = Holding.of(run, now)
            for attempt in live:
                if attempt.run_id == run.run_id:
                    holding.began(attempt.attempt_id, attempt.slot, attempt.job_id, now)

    def lose(self, run_id: int) -> None:
        """A run is not ours any more; what was named for it goes back. What is under way goes on."""
        holding = self.runs.pop(run_id, None)
        if holding is None:
            return
        holding.held = False
        turn = self._turn(holding.terms.business_id)
        turn.release += [(slot, attempt) for attempt, slot in holding.reserved.items()]
        turn.dropped += holding.tickets
        holding.reserved.clear()
        holding.tickets.clear()
        self._in_line[holding.terms.business_id].add(run_id)

    def trusts(self, holding: Holding, now: float) -> bool:
        """Does it believe in its lease?"""
        return is_trusted(holding, now, LEASE_SECONDS, MARGIN_SECONDS)

    # -- slots ------------------------------------------------------------------------------------------

    def businesses(self) -> list[int]:
        """Those it has something to say of to Redis."""
        return sorted({*(h.terms.business_id for h in self.runs.values()), *self._next})

    def write_down(self, business: int, now: float) -> Turn:
        """What to say on the next trip."""
        held = {run: h for run, h in self.runs.items() if h.terms.business_id == business}
        wishes = [(run, ids) for run, holding in held.items() if (ids := self._tickets_of(holding, now))]
        turn = self._next.pop(business, Turn(business, 0))
        turn.limit = self._limits[business]
        turn.want = wishes
        turn.renew = [attempt for holding in held.values() for attempt in holding.reserved]
        wanting = {run for run, _ in wishes}
        turn.leave = sorted(self._in_line[business] - wanting)
        self._in_line[business] = wanting
        return turn

    def _tickets_of(self, holding: Holding, now: float) -> list[UUID]:
        wanted = holding.wanted(now) if self.trusts(holding, now) else 0
        while len(holding.tickets) < wanted:
            holding.tickets.append(self._new_id())
        self._turn(holding.terms.business_id).dropped += holding.tickets[wanted:]
        del holding.tickets[wanted:]
        return list(holding.tickets)

    def forget_redis(self, holding: Holding, now: float) -> list[UUID]:
        """Redis is away: nothing of what was to be said counts any more. Returns the slots that are wanted."""
        holding.tickets.clear()
        tickets = self._tickets_of(holding, now)
        self._next.pop(holding.terms.business_id, None)
        return tickets

    def grant(self, business: int, grants: Sequence[Grant]) -> None:
        """Slots were named for us, or for somebody that we were."""
        for grant in grants:
            holding = self.runs.get(grant.run_id)
            if holding is not None and (grant.attempt_id in holding.reserved or grant.attempt_id in holding.live):
                continue
            if holding is None or grant.attempt_id not in holding.tickets:
                self._turn(business).release.append((grant.slot, grant.attempt_id))
                continue
            holding.tickets.remove(grant.attempt_id)
            holding.reserved[grant.attempt_id] = grant.slot

    def see(self, reading: Reading) -> None:
        """Take in what Postgres showed: the limit, and attempts that have ended without our hearing of it."""
        business = reading.business
        self._limits[business.business_id] = business.limit
        live = {a.attempt_id for a in business.live}
        for holding in self.runs.values():
            if holding.terms.business_id != business.business_id:
                continue
            holding.limit = business.limit
            for attempt, since in list(holding.live_since.items()):
                if attempt not in live and since < reading.read_at - GRACE_SECONDS:
                    self.released(business.business_id, holding.live[attempt], attempt)

    def released(self, business: int, slot: int, attempt: UUID) -> None:
        """An attempt has ended, wherever it was placed."""
        if business not in self._limits:
            return  # no desk for it
        self._turn(business).release.append((slot, attempt))
        for holding in self.runs.values():
            holding.ended(attempt)

    # -- intents ----------------------------------------------------------------------------------------

    def book(self, holding: Holding, answer: Intents, now: float) -> None:
        """The answer of an intent statement."""
        if answer.business_limit is not None and answer.queued_left is not None:
            holding.limit, holding.queued = answer.business_limit, answer.queued_left
            self._limits[holding.terms.business_id] = answer.business_limit
        for intent in answer.written:
            holding.began(intent.attempt_id, intent.slot, intent.job_id, now)
            holding.cursor = max(holding.cursor, intent.position)
            self.unsent[intent.attempt_id] = Work(holding, intent, now)
            self._turn(holding.terms.business_id).confirm.append(intent.attempt_id)
        for refusal in answer.refused:
            self._take_refusal(holding, refusal, now)

    def _take_refusal(self, holding: Holding, refusal: Refusal, now: float) -> None:
        self.not_used(holding, refusal.attempt_id, taken=refusal.verdict == "slot_taken")
        if refusal.verdict == "lost":
            self.lose(holding.terms.run_id)
        elif refusal.verdict == "no_job":
            holding.found_nothing(now, 0.0)

    def not_used(self, holding: Holding, attempt: UUID, *, taken: bool = False) -> None:
        """A named slot was not used."""
        slot = holding.reserved.pop(attempt, None)
        if slot is not None:
            turn = self._turn(holding.terms.business_id)
            (turn.taken if taken else turn.release).append((slot, attempt))

    def _turn(self, business: int) -> Turn:
        return self._next.setdefault(business, Turn(business, 0))
