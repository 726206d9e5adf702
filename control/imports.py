"""Writing a run: its rows, its jobs and the answer to a repeated request, in one transaction."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from control.database import Database, Row, Statements
from control.leads import CallingList
from control.payloads import StartSettings
from control.problems import Fault, invalid, not_found
from dialer.config import Settings

# After so many new rows the planner's idea of the jobs is wrong until the table is analyzed.
LARGE_IMPORT = 10_000
IMPORT_WITHIN_SECONDS = 120.0
JOB_COLUMNS = ("run_id", "business_id", "position", "phone", "lead_id", "name", "variables")


@dataclass(frozen=True, slots=True)
class Request:
    """The request, as far as repeating it goes. Without a key every one is a new one."""

    business_id: int
    key: str | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewRun:
    business_id: int
    actor: str
    settings: StartSettings
    from_number: str
    defaults: Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer as JSON, and whether it was given before."""

    answer: str
    replayed: bool


class _SomebodyElseDid(Exception):
    """The same key was committed meanwhile: roll back, and give its answer."""


async def write(database: Database, request: Request, run: NewRun, calling_list: CallingList) -> Outcome:
    """Make the run, or find that it is made.

    Raises AnswerWith 422 when the key was used for another request; DatabaseAway when nobody knows whether it
    was written, which is what the key is for.
    """
    try:
        async with database.transaction() as transaction:
            return Outcome(await _write(transaction, request, run, calling_list), replayed=False)
    except _SomebodyElseDid:
        answer = await recall(database, request)
        # It can only be missing when it was a day old just now, and pruned just then.
        return Outcome(answer, replayed=True) if answer else await write(database, request, run, calling_list)


async def recall(database: Database, request: Request) -> str | None:
    """The answer given before to this key and this request. Raises AnswerWith 422 for another request."""
    if request.key is None:
        return None
    kept: Row | None = await database.row("recall_answer", request.business_id, request.key)
    if kept is None:
        return None
    if kept["request_hash"] != request.digest:
        raise invalid(
            Fault("", "this Idempotency-Key was used with another request"), code="idempotency_key_reused"
        )
    answer: str = kept["answer"]
    return answer


async def analyze(database: Database) -> None:
    await database.row("analyze_jobs", timeout=IMPORT_WITHIN_SECONDS)


async def _write(transaction: Statements, request: Request, run: NewRun, calling_list: CallingList) -> str:
    row = await transaction.row("insert_run", *_run_values(run))
    if row is None:
        raise not_found("business")
    run_id = row["run_id"]
    answer = json.dumps(_answer(run_id, calling_list))
    if request.key is not None:
        # Before the jobs: whoever comes with the same key waits here, and not after the same work.
        kept = await transaction.row(
            "keep_answer",
            *(request.business_id, request.key, request.digest, answer),
            timeout=IMPORT_WITHIN_SECONDS,
        )
        if kept is None:
            raise _SomebodyElseDid
    jobs = (
        (run_id, run.business_id, position, *lead) for position, lead in enumerate(calling_list.accepted, start=1)
    )
    await transaction.copy("outbound_call_jobs", JOB_COLUMNS, jobs, timeout=IMPORT_WITHIN_SECONDS)
    return answer


def _run_values(run: NewRun) -> tuple[Any, ...]:
    settings, defaults = run.settings, run.defaults
    concurrency = None if settings.concurrency is None else min(settings.concurrency, 2**31 - 1)
    return (
        run.business_id,
        concurrency,
        settings.name,
        run.from_number,
        settings.twiml,
        settings.url,
        settings.record,
        settings.machine_detection,
        settings.ring_timeout_seconds or defaults.ring_timeout_seconds,
        settings.call_time_limit_seconds or defaults.call_time_limit_seconds,
        run.actor,
    )


def _answer(run_id: int, calling_list: CallingList) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "status": "pending",
        "queued": len(calling_list.accepted),
        "rejected": [asdict(rejected) for rejected in calling_list.rejected],
        "duplicates": calling_list.duplicates,
    }
