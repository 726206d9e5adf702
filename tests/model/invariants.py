"""What must hold after every step. The numbers are those of the list in the project's architecture."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any
from uuid import UUID

from dialer.edges.slots import Turn, TurnAnswer
from tests.model.carrier import Carrier, Request
from tests.model.clock import START, seconds
from tests.model.rows import ENDED, Rows

# slot -> (attempt, or 'taken'; when it expires by Redis's clock, 0: confirmed)
Held = Mapping[int, tuple[str, int]]

NEVER = "9999"
DISPOSITIONS = {
    "completed": "answered",
    "busy": "busy",
    "no-answer": "no_answer",
    "failed": "failed",
    "canceled": "canceled",
}
_RANK = {"intent": 0, "unknown": 1, "requested": 2, "live": 3, "ended": 4}


def check_step(before: Rows, after: Rows, carrier: Carrier) -> None:
    """Everything that can be seen in the rows and in the truth."""
    _slots(before, after)
    _one_live_attempt_a_job(after)
    _intents(before, after)
    _calls(after, carrier)
    _truth(after, carrier)
    _runs(before, after)
    _attempts(before, after)
    _jobs(before, after)
    _counters(before, after)


def check_send(request: Request, rows: Rows, carrier: Carrier) -> None:
    """A create is about to leave: its row is there, it is the first, and no other call of its job may exist."""
    attempt = rows.attempts.get(request.attempt)
    assert attempt is not None, f"I5: no row for the create of {request.attempt}"
    assert attempt["job_id"] == request.job
    assert attempt["state"] != "ended", f"I5: a create for {request.attempt}, which has ended"
    assert carrier.creates_of_attempts()[request.attempt] == 0, f"I6: a second create for {request.attempt}"
    others = [i for i, a in rows.live().items() if a["job_id"] == request.job and i != request.attempt]
    assert not others, f"I6: a create for job {request.job}, of which {others} may have a call"
    assert carrier.calls_of_jobs()[request.job] == 0, f"I6: a second call for job {request.job}"


def check_turn(
    before: Held, has_generation: bool, turn: Turn, answer: TurnAnswer, after: Held, live: Set[str]
) -> None:
    """One trip to Redis: what was granted, and what was freed."""
    if not has_generation:
        assert (answer.generation, answer.granted) == (False, ()), "I13: granted while the generation is missing"
        assert before == after, "I13: changed while the generation is missing"
        return
    released = {(slot, str(attempt)) for slot, attempt in turn.release}
    for slot, (attempt, expires) in before.items():
        gone = slot not in after or after[slot][0] != attempt
        # One that was never confirmed may expire; its intent then meets whoever came after it.
        assert not (gone and attempt in live and expires == 0), (
            f"I9: slot {slot} was freed while {attempt} is live"
        )
        was_released = gone and (slot, attempt) in released
        assert not (attempt in live and was_released), f"I9: slot {slot} was given back while {attempt} is live"
    for grant in answer.granted:
        attempt = str(grant.attempt_id)
        assert after[grant.slot][0] == attempt
        was_handed_before = grant.slot in before and before[grant.slot][0] == attempt
        assert grant.slot <= turn.limit or was_handed_before, f"slot {grant.slot} above the limit {turn.limit}"
    owners = [attempt for attempt, _ in after.values() if attempt != "taken"]
    assert len(owners) == len(set(owners)), f"I2: one attempt holds two slots: {after}"


def check_reconcile(before: Held, after: Held, live: Set[str]) -> None:
    """A reconciliation frees no slot of a live call, however old the reading is that it goes by."""
    for slot, (attempt, expires) in before.items():
        gone = slot not in after or after[slot][0] != attempt
        assert not (gone and attempt in live and expires == 0), (
            f"I9: slot {slot} was freed while {attempt} is live"
        )


def check_again(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Something was done twice: the second time changes nothing."""
    changed = [table for table in before if before[table] != after[table]]
    assert not changed, "I18: done again, it changed " + "; ".join(
        f"{table}: {before[table]} -> {after[table]}" for table in changed
    )


def check_taken_over(after: Rows, now: float, lease: float, resume: float) -> None:
    """Everybody who is awake has looked: no run waits, and none has a holder that is long silent."""
    for run_id, run in after.runs.items():
        may_be_dialed = run["status"] in ("pending", "running") and not run["cancel_requested"]
        if may_be_dialed:
            assert run["status"] == "running", f"I14: run {run_id} still waits"
            silent = now - seconds(datetime.fromisoformat(run["last_heartbeat_at"]))
            assert not lease < silent < resume, f"I14: nobody took run {run_id} over, silent for {silent} s"


def _slots(before: Rows, after: Rows) -> None:
    were = before.live()
    for business, live in after.live_by_business().items():
        slots = [a["slot"] for a in live]
        assert len(slots) == len(set(slots)), f"I2: {slots}"
        if len(live) > after.limits[business]:
            # The limit was lowered under live calls: then none may begin.
            new = [a["id"] for a in live if UUID(a["id"]) not in were]
            assert not new, f"I1: {len(live)} live, limit {after.limits[business]}, and {new} began"


def _one_live_attempt_a_job(after: Rows) -> None:
    jobs = [a["job_id"] for a in after.live().values()]
    assert len(jobs) == len(set(jobs)), f"I3: {jobs}"


def _intents(before: Rows, after: Rows) -> None:
    for attempt in after.attempts.values():
        if UUID(attempt["id"]) in before.attempts:
            continue
        was, run = before.runs[attempt["run_id"]], after.runs[attempt["run_id"]]
        assert was["status"] == "running", f"I17: an intent for a run that is {was['status']}"
        assert not was["cancel_requested"], "I17: an intent after a cancel"
        assert attempt["lease_epoch"] == was["lease_epoch"] == run["lease_epoch"], (
            "I4: an intent under an old epoch"
        )
        assert 1 <= attempt["slot"] <= after.limits[attempt["business_id"]], "I1: a slot above the limit"


def _calls(after: Rows, carrier: Carrier) -> None:
    for sid, call in carrier.calls.items():
        assert call.attempt in after.attempts, f"I5: {sid} has no row"
    for job, n in carrier.calls_of_jobs().items():
        assert n == 1, f"I6: job {job} was called {n} times"
    for attempt, n in carrier.creates_of_attempts().items():
        assert n == 1, f"I6: {n} creates for {attempt}"
    live = after.live()
    owned = {a["call_sid"] for a in live.values()}
    for call in carrier.live():
        # Its own row; or, by a guess from the list that nothing has contradicted yet, another's.
        assert call.attempt in live or call.sid in owned, f"I9: {call.sid} lives, and no row holds a slot for it"


def _truth(after: Rows, carrier: Carrier) -> None:
    """What an attempt says of itself is what became of its call."""
    called = {call.attempt for call in carrier.calls.values()}
    for attempt_id, attempt in after.attempts.items():
        sid, disposition = attempt["call_sid"], attempt["disposition"]
        if disposition in ("not_dialed", "invalid_number"):
            assert attempt_id not in called, f"I5: {attempt_id} is {disposition}, and there is a call"
        if sid is None:
            continue
        call = carrier.calls[sid]
        assert attempt["sid_source"] == "list" or call.attempt == attempt_id, (
            f"I5: {attempt_id} has another's {sid}"
        )
        if disposition not in (None, "unknown"):
            assert not call.is_live, f"I9: {attempt_id} has ended, and {sid} lives"
            assert disposition == DISPOSITIONS[call.status], (
                f"I11: {attempt_id}: {disposition}, {sid}: {call.status}"
            )


def _runs(before: Rows, after: Rows) -> None:
    for run_id, was in before.runs.items():
        run = after.runs[run_id]
        assert (run["last_heartbeat_at"] or NEVER) >= START.isoformat(), "the model's clock is not the database's"
        assert run["lease_epoch"] >= was["lease_epoch"], f"I7: the epoch of run {run_id} fell"
        if run["locked_by_worker"] not in (None, was["locked_by_worker"]):
            assert run["lease_epoch"] > was["lease_epoch"], f"I7: run {run_id} changed hands under one epoch"
        if was["status"] in ENDED:
            assert (run["status"], run["ended_at"]) == (was["status"], was["ended_at"]), f"I8: run {run_id}"


def _attempts(before: Rows, after: Rows) -> None:
    for attempt_id, was in before.attempts.items():
        attempt = after.attempts[attempt_id]
        if was["state"] == "ended":
            same = ("state", "disposition", "ended_at", "slot", "job_id", "error_code")
            assert [attempt[k] for k in same] == [was[k] for k in same], f"I8: {attempt_id} had ended"
        elif _RANK[attempt["state"]] < _RANK[was["state"]]:
            assert _was_a_guess(was, attempt, after), f"I8: {attempt_id}: {was['state']} -> {attempt['state']}"
        elif attempt["call_sid"] == was["call_sid"]:
            assert attempt["carrier_rank"] >= was["carrier_rank"], f"I8: the rank of {attempt_id} fell"


def _was_a_guess(was: Any, attempt: Any, after: Rows) -> bool:
    owners = [a["id"] for a in after.attempts.values() if a["call_sid"] == was["call_sid"]]
    return attempt["state"] == "unknown" and was["sid_source"] == "list" and owners not in ([], [was["id"]])


def _jobs(before: Rows, after: Rows) -> None:
    for job_id, was in before.jobs.items():
        job = after.jobs[job_id]
        if was["ended_at"] is not None:
            same = ("status", "disposition", "ended_at", "attempts_made")
            assert [job[k] for k in same] == [was[k] for k in same], f"I8: job {job_id} had ended"
    owners = {a["job_id"] for a in after.live().values()}
    for job_id, job in after.jobs.items():
        assert (job["status"] in ("dialing", "calling")) == (job_id in owners), f"job {job_id} is {job['status']}"


def _counters(before: Rows, after: Rows) -> None:
    for run_id, counters in after.counters.items():
        jobs = after.jobs_of(run_id)
        stored = {k: counters[k] for k in ("queued", "in_progress", "completed", "failed", "cancelled")}
        counted = dict.fromkeys(stored, 0)
        for job in jobs:
            counted["in_progress" if job["status"] in ("dialing", "calling") else job["status"]] += 1
        assert stored == counted, f"I10: run {run_id} says {stored}, its jobs {counted}"
        assert sum(stored.values()) == len(before.jobs_of(run_id)), f"I10: the total of run {run_id} changed"
        for disposition in ("answered", "machine", "busy", "no_answer", "canceled", "not_dialed", "unknown"):
            n = sum(job["disposition"] == disposition for job in jobs)
            assert counters[disposition] == n, (
                f"I10: run {run_id}, {disposition}: {counters[disposition]}, jobs: {n}"
            )
