"""The world of one example: its parts, its time, and who holds which run. `rows` is Postgres before the last act."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import sql
from dialer.edges.slots import Slots
from dialer.edges.store import Store
from tests.model import rows as tables
from tests.model.carrier import Carrier, Request
from tests.model.clock import REDIS_MS_PER_SECOND, START, Clock
from tests.model.daemon import LEASE_SECONDS, Daemon
from tests.model.invariants import check_again, check_step, check_taken_over
from tests.model.sabotage import Sabotage
from tests.support.runs import add_business, add_run

T = TypeVar("T")

RESUME_SECONDS = 300.0
RESERVE_MS = 3 * REDIS_MS_PER_SECOND
FRESH_MS = 1 * REDIS_MS_PER_SECOND
DAEMONS = 3
# Few numbers, so that calls to the same number meet in the carrier's list.
PHONES = [f"+1212555010{n}" for n in range(7)]

_RUN_TABLES = """
SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'
AND tablename LIKE ANY (ARRAY['businesses', 'outbound_call_%', 'orphan_callbacks', 'audit_log', 'dialer_daemons'])
"""


@dataclass(frozen=True)
class Rig:
    """What one test opens for all its examples: a pool of one connection with the model's clock, and a Redis."""

    db: Any
    redis: Any
    redis_url: str


@dataclass(frozen=True)
class Plan:
    """A run to be made: of which business, how many jobs, how many calls at once."""

    business: int
    jobs: int
    concurrency: int


class World:
    """Open with `begin`, close with `close`."""

    def __init__(self, rig: Rig, sabotage: Sabotage) -> None:
        self.db = rig.db
        self.redis = rig.redis
        self.sabotage = sabotage
        self.clock = Clock(rig.db, rig.redis)
        self.store = Store(rig.db, keep=0)
        self.carrier = Carrier()
        self.daemons: list[Daemon] = []
        self.businesses: list[int] = []
        self.rows = tables.Rows({}, {}, {}, {}, {})
        # Are recoveries done twice?
        self.is_thorough = True
        self._redis_url = rig.redis_url
        self._namespace = uuid.uuid4().hex
        self._ids = 0
        self._opened: list[Slots] = []

    async def begin(self, limits: Sequence[int], plans: Iterable[Plan]) -> None:
        """A fresh world: these businesses, these runs, three daemons."""
        names = await self.db.fetchval(_RUN_TABLES)
        await self.db.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        await self.clock.start()
        self.businesses = [await add_business(self.db, limit) for limit in limits]
        for n, plan in enumerate(plans):
            numbers = [PHONES[(2 * n + i) % len(PHONES)] for i in range(plan.jobs)]
            await add_run(self.db, self.businesses[plan.business], numbers, concurrency=plan.concurrency)
        self.daemons = [await self.new_daemon() for _ in range(DAEMONS)]
        self.rows = await tables.read(self.db)

    async def check(self) -> None:
        """Compare what is with what was before the last act."""
        before, self.rows = self.rows, await tables.read(self.db)
        check_step(before, self.rows, self.carrier)

    async def recover(self, recovery: Callable[[], Awaitable[T]]) -> T:
        """Mend or take in something; and once more, when nothing may change (I11, I18). Returns the first answer."""
        first = await recovery()
        if not self.is_thorough:
            return first
        before = await tables.dump(self.db)
        await recovery()
        check_again(before, await tables.dump(self.db))
        return first

    async def close(self) -> None:
        for slots in self._opened:
            await slots.close()

    def new_id(self) -> UUID:
        """Ids that are the same in every repetition of an example."""
        self._ids += 1
        return UUID(int=self._ids)

    async def new_daemon(self) -> Daemon:
        worker = self.new_id()
        slots = Slots(self._redis_url, self._namespace, worker, reserve_ms=RESERVE_MS, fresh_ms=FRESH_MS)
        self._opened.append(slots)
        await self.store.register_daemon(worker, "model", 1)
        return Daemon(worker, slots, self.new_id)

    def awake(self) -> list[Daemon]:
        return [d for d in self.daemons if not d.frozen]

    def claimable(self) -> bool:
        """Is there a run that somebody might claim?"""
        lapsed = (START + timedelta(seconds=self.clock.now - LEASE_SECONDS)).isoformat()
        return any(
            r["status"] == "pending" or (r["locked_by_worker"] is not None and r["last_heartbeat_at"] < lapsed)
            for r in self.rows.runs.values()
        )

    def keys(self, business: int) -> list[str]:
        """Redis's keys of a business."""
        return self._opened[0]._keys(business)

    # -- time -------------------------------------------------------------------------------------------

    async def pass_time(self, seconds: float) -> list[Request]:
        """Calls ring out and end. Returns the creates that must have become calls by then."""
        landed = self.carrier.must_land_before(self.clock.now + seconds)
        for request in landed:
            self.carrier.place(request, self.clock.now)
        await self.clock.advance(seconds)
        for business in self.businesses:
            await self.clock.age(self.keys(business), seconds)
        self.carrier.let_time_pass(self.clock.now)
        return landed

    # -- leases -----------------------------------------------------------------------------------------

    async def claim(self, daemon: Daemon, *, dies: bool = False) -> None:
        """Claim and adopt; or die between the two."""
        held = sum(daemon.trusts(h, self.clock.now) for h in daemon.runs.values())
        terms = await self.store.claim_runs(daemon.id, LEASE_SECONDS, RESUME_SECONDS, held, None)
        if dies:
            await self.crash(daemon)
        elif terms:
            live = await self.recover(lambda: self.store.adopt_attempts(terms))
            daemon.take(terms, live, self.clock.now)
            held = sum(daemon.trusts(h, self.clock.now) for h in daemon.runs.values())
            more = await self.store.claim_runs(daemon.id, LEASE_SECONDS, RESUME_SECONDS, held, None)
            assert not more, f"I18: {daemon} claimed its share, and more at once"

    async def replace(self, daemon: Daemon) -> None:
        """It sleeps through its leases, another daemon takes its runs, and it wakes without knowing."""
        daemon.frozen = True
        await self.pass_time(LEASE_SECONDS + 1)
        for other in self.awake():
            await self.beat(other)
            await self.claim(other)
        if self.awake():
            check_taken_over(await tables.read(self.db), self.clock.now, LEASE_SECONDS, RESUME_SECONDS)
        daemon.frozen = False

    async def beat(self, daemon: Daemon) -> None:
        """Prolong its leases; learn which are lost."""
        epochs = {run: h.terms.lease_epoch for run, h in daemon.runs.items()}
        found = await self.db.fetch(sql.query("beat"), daemon.id, list(epochs), list(epochs.values()), False)
        verdicts = dict.fromkeys(epochs, "beaten") | {row["run_id"]: row["verdict"] for row in found}
        for run, verdict in verdicts.items():
            if verdict == "beaten":
                daemon.runs[run].trusted_from = self.clock.now
            elif verdict == "lost":
                daemon.lose(run)

    async def crash(self, daemon: Daemon) -> None:
        """It is gone with all it knew; another process starts in its place."""
        self.daemons[self.daemons.index(daemon)] = await self.new_daemon()

    def tell(self, business: int, slot: int, attempt: UUID, heard_by: Iterable[Daemon]) -> None:
        """A hint that a slot is free; whoever is frozen or not listening misses it."""
        for daemon in heard_by:
            if not daemon.frozen:
                daemon.released(business, slot, attempt)
