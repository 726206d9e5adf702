"""Postgres, as the daemon uses it: one named statement a method, values in and out, no decisions.

Every method raises DatabaseAway when Postgres did not answer. A write may then have been committed all the
same: repeat it where it is guarded by state (all facts are), look it up where it is not (intents).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from dialer.edges.pool import Statements
from dialer.errors import DatabaseRefused
from dialer.intake import NO_EVENTS, Intake
from dialer.lender import KEEP
from dialer.rules.model import Business, CarrierEvent, Fact, Grant, Intent, Intents, LiveAttempt, Refusal, Terms


@dataclass(frozen=True, slots=True)
class SilentAttempt:
    """A call without news for long. `overdue`: it must have ended by now, whatever became of it."""

    attempt_id: UUID
    call_sid: str
    account_sid: str
    business_id: int
    run_id: int
    job_id: int
    slot: int
    last_news_at: datetime
    hangup_requested: bool
    overdue: bool


@dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """An attempt whose create has no known outcome (see sql/queries/lookups.sql for the flags)."""

    attempt_id: UUID
    business_id: int
    run_id: int
    job_id: int
    slot: int
    account_sid: str
    from_number: str
    to_number: str
    created_at: datetime
    last_news_at: datetime
    candidate_seen: bool
    covered: bool
    overdue: bool
    rivals: int


class Store(Statements):
    """What dialing asks of Postgres. Open with `connect`, close with `close`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", *, keep: int = KEEP) -> None:
        super().__init__(pool, keep=keep)
        self._intake = Intake(self._rows, take_apart_on=(DatabaseRefused,))

    async def warm_up(self) -> None:
        """Open connections before they are needed: the first intent on a cold one takes four times as long."""
        await self.warm(("write_intents", 0, UUID(int=0), 0, -1, [], [], ""), NO_EVENTS)

    # -- leases -----------------------------------------------------------------------------------------

    async def installation(self) -> str:
        """The id of this installation, which names its keys in Redis."""
        return str(await self._value("installation"))

    async def register_daemon(self, worker: UUID, host: str, pid: int) -> None:
        """Show this process in `dialer_daemons`."""
        await self._rows("register_daemon", worker, host, pid)

    async def end_daemon(self, worker: UUID) -> None:
        """This process holds nothing any more."""
        await self._rows("end_daemon", worker)

    async def live_daemons(self, within_seconds: float) -> int:
        """How many daemons were seen lately, at least 1."""
        return max(int(await self._value("live_daemons", within_seconds)), 1)

    async def claim_runs(
        self, worker: UUID, takeover_seconds: float, resume_seconds: float, held: int, error: str | None
    ) -> list[Terms]:
        """Take our fair share of the runs that nobody holds; `error`: why we cannot dial them just now."""
        rows = await self._rows("claim_runs", worker, takeover_seconds, resume_seconds, held, error)
        return [Terms(**row) for row in rows]

    async def adopt_attempts(self, runs: Sequence[Terms]) -> list[LiveAttempt]:
        """What the holder before left: attempts that may have a call; its open intents become unknown."""
        rows = await self._rows("adopt_attempts", [r.run_id for r in runs], [r.lease_epoch for r in runs])
        return [LiveAttempt(r["attempt_id"], r["run_id"], r["slot"], r["job_id"]) for r in rows]

    async def hand_over(self, worker: UUID) -> list[tuple[int, int]]:
        """Give all our leases back; returns (run, business) of those that were still ours."""
        return [(r["run_id"], r["business_id"]) for r in await self._rows("hand_over_runs", worker)]

    async def pause_for_refusals(self, run: Terms, worker: UUID, why: str) -> bool:
        """Pause a run of ours. False when it was not ours any more."""
        return bool(await self._rows("pause_run_for_refusals", run.run_id, worker, run.lease_epoch, why))

    async def note_last_error(self, worker: UUID, run_ids: Sequence[int], error: str | None) -> None:
        """Show why our runs do not dial, or that they do again (None)."""
        await self._rows("note_last_error", worker, list(run_ids), error)

    async def run_states(self, run_ids: Sequence[int]) -> dict[int, str]:
        """Run -> status, for runs that we lost."""
        return {r["run_id"]: r["status"] for r in await self._rows("run_states", list(run_ids))}

    # -- intents ----------------------------------------------------------------------------------------

    async def write_intents(
        self, run: Terms, worker: UUID, after: int, grants: Sequence[Grant], account: str
    ) -> Intents:
        """Turn grants into committed attempts (see migration 0004). On DatabaseAway look the ids up."""
        rows = await self._rows(
            "write_intents",
            run.run_id,
            worker,
            run.lease_epoch,
            after,
            [g.attempt_id for g in grants],
            [g.slot for g in grants],
            account,
        )
        return Intents(
            tuple(_intent(r) for r in rows if r["verdict"] == "intent"),
            tuple(Refusal(r["attempt_id"], r["slot"], r["verdict"]) for r in rows if r["verdict"] != "intent"),
            rows[0]["business_limit"],
            rows[0]["queued_left"],
        )

    async def attempts_written(self, attempt_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Attempt -> state, of those that were committed."""
        rows = await self._rows("attempts_written", list(attempt_ids))
        return {r["attempt_id"]: r["state"] for r in rows}

    async def free_slots(self, business_id: int, count: int) -> list[int]:
        """Slots by Postgres alone."""
        return [r["slot"] for r in await self._rows("free_slots", business_id, count)]

    async def next_jobs(self, run_id: int, after: int, count: int) -> list[tuple[int, int]]:
        """(job, position) of the jobs that wait next."""
        return [(r["job_id"], r["position"]) for r in await self._rows("next_jobs", run_id, after, count)]

    async def businesses(self, business_ids: Sequence[int]) -> list[Business]:
        """Limits and live attempts, in one statement."""
        found: dict[int, tuple[int, list[LiveAttempt]]] = {}
        for r in await self._rows("live_attempts", list(business_ids)):
            _, live = found.setdefault(r["business_id"], (r["business_limit"], []))
            if r["attempt_id"] is not None:
                live.append(LiveAttempt(r["attempt_id"], r["run_id"], r["slot"], r["job_id"]))
        return [Business(b, limit, tuple(live)) for b, (limit, live) in found.items()]

    async def queued_left(self, run_ids: Sequence[int]) -> dict[int, int]:
        """Run -> jobs still to be dialed."""
        return {r["run_id"]: r["queued"] for r in await self._rows("queued_left", list(run_ids))}

    # -- facts ------------------------------------------------------------------------------------------

    async def take_carrier_event(
        self, attempt: UUID, call_sid: str, source: str, status: str, duration: int | None = None
    ) -> Fact:
        """What an answer or a look-up says of a call (callbacks are taken by control)."""
        event = CarrierEvent(attempt, call_sid, source, None, status, duration_seconds=duration)
        return await self._intake.take(event)

    async def return_attempt(self, attempt: UUID, delay_seconds: float, code: int | None, reason: str) -> str:
        """Certainly no call: `returned` to the queue, `swept` (its run is over), or `too_late`."""
        return str(await self._value("return_attempt", attempt, delay_seconds, code, reason))

    async def refuse_attempt(self, attempt: UUID, disposition: str, code: int | None, reason: str) -> bool:
        """The carrier refused: the job ends. False when something else was known already."""
        return bool(await self._value("refuse_attempt", attempt, disposition, code, reason))

    async def doubt_attempt(self, attempt: UUID, code: int | None, reason: str) -> bool:
        """Nobody knows whether there is a call. False when something was known already."""
        return bool(await self._rows("doubt_attempt", attempt, code, reason))

    async def end_unknown(self, attempt: UUID, last_news_at: datetime) -> int | None:
        """Give up on an attempt; returns the slot that it freed, or None when there was news meanwhile."""
        slot = await self._value("end_unknown", attempt, last_news_at)
        return None if slot is None else int(slot)

    # -- look-ups ---------------------------------------------------------------------------------------

    async def take_silent_attempts(
        self, silent_seconds: float, count: int, lag_seconds: float, longest_seconds: float
    ) -> list[SilentAttempt]:
        """Calls to ask the carrier about; each is put off, so that only one daemon asks."""
        rows = await self._rows("take_silent_attempts", silent_seconds, count, lag_seconds, longest_seconds)
        return [SilentAttempt(**row) for row in rows]

    async def take_unknown_attempts(
        self, unknown_seconds: float, count: int, lag_seconds: float, longest_seconds: float
    ) -> list[UnknownAttempt]:
        """Attempts to search in the carrier's list; each is put off, so that only one daemon searches."""
        rows = await self._rows("take_unknown_attempts", unknown_seconds, count, lag_seconds, longest_seconds)
        return [UnknownAttempt(**row) for row in rows]

    async def owned_sids(self, sids: Sequence[str]) -> set[str]:
        """Those of the SIDs that some attempt has."""
        return {r["call_sid"] for r in await self._rows("owned_sids", list(sids))}

    async def note_candidate(self, attempt: UUID) -> None:
        """A look-up showed something that may be this attempt's call."""
        await self._rows("note_candidate", attempt)

    async def runs_to_sweep(self, count: int) -> list[tuple[int, int]]:
        """(run, jobs still queued) of runs whose queued jobs will never be dialed."""
        return [(r["run_id"], r["queued"]) for r in await self._rows("runs_to_sweep", count)]

    async def sweep_run(self, run_id: int, count: int) -> int:
        """Move one batch of them; returns how many."""
        return len(await self._rows("sweep_run", run_id, count))

    async def mark_swept(self, run_id: int) -> None:
        """Remember that nothing is left to sweep, if that is so."""
        await self._rows("mark_swept", run_id)


def _intent(row: asyncpg.Record) -> Intent:
    return Intent(row["attempt_id"], row["slot"], row["job_id"], row["position"], row["phone"], row["lead_id"])
