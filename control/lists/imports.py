"""Writing a run: its rows, its jobs and the answer to a repeated request, in one transaction."""

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import Any

from control.database import Database, Statements
from control.document.payloads import StartSettings
from control.lists import idempotency
from control.lists.idempotency import Outcome, Request, Started
from control.lists.leads import CallingList, Leads
from control.requests.problems import not_found
from dialer.config import Settings
from dialer.crashpoints import passed

# After so many new rows the planner's idea of the jobs is wrong until the table is analyzed.
LARGE_IMPORT = 10_000
IMPORT_WITHIN_SECONDS = 120.0
# Fewer are told sooner than another thread is.
MANY_REJECTED = 1_000
JOB_COLUMNS = ("run_id", "business_id", "position", "phone", "lead_id", "name", "variables")


@dataclass(frozen=True, slots=True)
class NewRun:
    business_id: int
    actor: str
    settings: StartSettings
    from_number: str
    defaults: Settings


async def write(database: Database, request: Request, run: NewRun, calling_list: CallingList) -> Outcome:
    """Make the run, or find that it is made. Raises what idempotency.once raises."""

    async def work(transaction: Statements) -> Started:
        return await _write(transaction, request, run, calling_list)

    outcome = await idempotency.once(database, request, work)
    passed("start.committed")
    return outcome


async def analyze(database: Database) -> None:
    await database.row("analyze_jobs", timeout=IMPORT_WITHIN_SECONDS)


async def _write(transaction: Statements, request: Request, run: NewRun, calling_list: CallingList) -> Started:
    row = await transaction.row("insert_run", *_run_values(run))
    if row is None:
        raise not_found("business")
    run_id = row["run_id"]
    answer = await _answer(run_id, calling_list)
    await idempotency.reserve(transaction, request, answer)
    jobs = _jobs(run_id, run.business_id, calling_list.accepted)
    await transaction.copy("outbound_call_jobs", JOB_COLUMNS, jobs, timeout=IMPORT_WITHIN_SECONDS)
    passed("start.stored")
    return Started(run_id, len(calling_list.accepted), answer)


async def _jobs(run_id: int, business_id: int, accepted: Leads) -> Any:
    """The rows of the jobs. Between two pieces of the list callbacks get their turn."""
    positions = count(1)
    for piece in accepted.pieces():
        for lead in piece:
            yield (run_id, business_id, next(positions), *lead)
        await asyncio.sleep(0)


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
        bool(settings.record),
        bool(settings.machine_detection),
        settings.ring_timeout_seconds or defaults.ring_timeout_seconds,
        settings.call_time_limit_seconds or defaults.call_time_limit_seconds,
        run.actor,
    )


async def _answer(run_id: int, calling_list: CallingList) -> str:
    if len(calling_list.rejected) < MANY_REJECTED:
        return _text_of(run_id, calling_list)
    return await asyncio.to_thread(_text_of, run_id, calling_list)


def _text_of(run_id: int, calling_list: CallingList) -> str:
    """The answer, as JSON. Put together piece by piece, so that other threads get their turn: it can be long."""
    rejected = ", ".join(f'{{"index": {bad.index}, "code": "{bad.code}"}}' for bad in calling_list.rejected)
    return (
        f'{{"run_id": {run_id}, "status": "pending", "queued": {len(calling_list.accepted)}, '
        f'"rejected": [{rejected}], "duplicates": {calling_list.duplicates}}}'
    )
