"""POST /api/runs/{run_id}/retry: a new run with jobs of one that has ended."""

import hashlib
import json

from aiohttp import web

from control.context import CONTEXT
from control.database import Statements
from control.document.payloads import Retry
from control.lists import idempotency, start
from control.lists.idempotency import Request, Started
from control.lists.imports import IMPORT_WITHIN_SECONDS
from control.requests.auth import Caller
from control.requests.incoming import MOST_FORM_BYTES, payload_of, read_body
from control.requests.problems import Fault, conflict, invalid
from control.resources import runs
from dialer.telemetry import logger

# Nobody was spoken to, and there is a chance. What may have been a call (unknown) only on demand.
BY_DEFAULT = ("busy", "no_answer", "failed", "canceled", "not_dialed")


async def retry_run(request: web.Request, caller: Caller) -> web.Response:
    """Set up as the old run was; its jobs are those that ended in one of the ways named."""
    faults: list[Fault] = []
    key = idempotency.key_of(request, faults)
    body = await read_body(request, MOST_FORM_BYTES)
    wanted = payload_of(request, body, Retry, faults) if body.strip() else Retry()
    if faults:
        raise invalid(*faults)
    old = await runs.named(request, caller, request.match_info["run_id"], wanted.business_id)
    only = sorted(set(wanted.only or BY_DEFAULT))
    context = request.app[CONTEXT]
    asked = Request(old.business_id, key, hashlib.sha256(b"retry/%d\n" % old.run_id + body).digest())
    if (replayed := await idempotency.recall(context.database, asked)) is not None:
        return start.created(replayed, replayed=True)

    async def work(transaction: Statements) -> Started:
        return await _write(transaction, asked, old.run_id, caller.actor, only, wanted.reason)

    async with context.imports:
        outcome = await idempotency.once(context.database, asked, work)
    if outcome.started is not None:
        logger().info(
            "RETRY", run_id=old.run_id, business_id=old.business_id, actor=caller.actor, reason=wanted.reason
        )
        start.tell(context, old.business_id, outcome.started, retry_of=old.run_id)
    return start.created(outcome.answer, replayed=outcome.started is None)


async def _write(
    transaction: Statements, asked: Request, old_run: int, actor: str, only: list[str], reason: str | None
) -> Started:
    row = await transaction.row("insert_retry", old_run, actor, only, reason)
    if row is None:
        raise conflict("run_not_ended", "only a run that has ended can be retried")
    await idempotency.reserve(transaction, asked, _answer(row["run_id"], 0))
    copied = await transaction.row("copy_jobs", old_run, row["run_id"], only, timeout=IMPORT_WITHIN_SECONDS)
    if copied is None or not copied["jobs"]:
        fault = Fault("/only", f"no job of the run ended as {', '.join(only)}")
        raise invalid(fault, code="nothing_to_retry")
    started = Started(row["run_id"], copied["jobs"], _answer(row["run_id"], copied["jobs"]))
    await idempotency.amend(transaction, asked, started.answer)
    return started


def _answer(run_id: int, queued: int) -> str:
    return json.dumps({"run_id": run_id, "status": "pending", "queued": queued, "rejected": [], "duplicates": 0})
