"""Idempotency-Key: the same request under the same key is done once, and answered the same for a day."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from control.database import Database, Row, Statements
from control.document.payloads import IDEMPOTENCY_KEY
from control.requests.problems import Fault, invalid

# Whoever comes with a key that is being used waits for the work of that request.
WAIT_WITHIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """The request, as far as repeating it goes. Without a key every one is a new one."""

    business_id: int
    key: str | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was made, and the answer that tells it, as JSON."""

    run_id: int
    queued: int
    answer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer as JSON, and the run that was made for it: none, when the answer was given before."""

    answer: str
    started: Started | None = None


# Does the work; `reserve` is its first step.
Work = Callable[[Statements], Awaitable[Started]]


class _SomebodyElseDid(Exception):
    """The same key was committed meanwhile: roll back, and give its answer."""


async def once(database: Database, request: Request, work: Work) -> Outcome:
    """Do the work in one transaction, or find that it is done.

    Raises AnswerWith 422 when the key was used for another request; DatabaseAway when nobody knows whether it
    was written, which is what the key is for.
    """
    try:
        async with database.transaction() as transaction:
            started = await work(transaction)
        return Outcome(started.answer, started)
    except _SomebodyElseDid:
        answer = await recall(database, request)
        # It can only be missing when it was a day old just now, and pruned just then.
        return Outcome(answer) if answer else await once(database, request, work)


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


async def reserve(transaction: Statements, request: Request, answer: str) -> None:
    """Keep the answer under the key. Before the work: others with the same key wait here, not after it."""
    if request.key is None:
        return
    kept = await transaction.row(
        "keep_answer", request.business_id, request.key, request.digest, answer, timeout=WAIT_WITHIN_SECONDS
    )
    if kept is None:
        raise _SomebodyElseDid


async def amend(transaction: Statements, request: Request, answer: str) -> None:
    """Replace the answer that was reserved by the one that the work came to."""
    if request.key is not None:
        await transaction.row("amend_answer", request.business_id, request.key, answer)


def key_of(request: web.Request, faults: list[Fault]) -> str | None:
    """The request's Idempotency-Key. What is none joins the faults."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(IDEMPOTENCY_KEY, key):
        faults.append(Fault("", "Idempotency-Key must be 1 to 255 printable characters of ASCII"))
        return None
    return key
