"""The carrier's callbacks: verify, one statement, commit, tell the daemons, 204."""

import asyncio
import time

from aiohttp import web

from control.carrier.carrier_form import read_event
from control.context import CONTEXT, Context
from control.requests.problems import not_found
from control.stopping.hangups import LiveCall
from dialer.crashpoints import passed
from dialer.edges.wakeup import Hint
from dialer.errors import TryAgainLater
from dialer.intake import Intake
from dialer.rules.model import CarrierEvent, Fact
from dialer.telemetry import logger

# What took longer is away, and the carrier waits five seconds at most.
RETRY_WITHIN_SECONDS = 1.0
STILL_LIVE = frozenset({"queued", "initiated", "ringing", "in-progress"})
HANG_UP = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'


async def call_status(request: web.Request) -> web.Response:
    await take_in(request.app[CONTEXT], await read_event(request))
    return web.Response(status=204)


async def outbound_call(request: web.Request) -> web.Response:
    """The call was answered and asks what to do: the run's TwiML."""
    context = request.app[CONTEXT]
    event = await read_event(request)
    taken = await take_in(context, event)
    # A call that ought not to be: nobody is spoken to on its behalf.
    if taken.result in ("orphan", "late_call"):
        return _twiml(HANG_UP)
    found = await context.database.row("twiml_of_attempt", event.attempt_id)
    if found is None or found["twiml"] is None:
        raise not_found("TwiML: the run names a URL of its own")
    return _twiml(found["twiml"])


async def take_in(context: Context, event: CarrierEvent) -> Fact:
    """Store an event and tell who must know. Raises TryAgainLater when it could not be stored."""
    arrived_at = time.time()
    passed("callback.verified")
    try:
        taken = await _insist(context.intake, event)
    except TryAgainLater:
        context.metrics.called_back("not_stored", event.at, arrived_at)
        raise
    passed("callback.committed")
    # For a repeat too: the process that ended the attempt may have died before it said so.
    if taken.state == "ended" and taken.business_id is not None and taken.result in ("taken", "repeat"):
        # What ended earlier was handed over then, if anybody waited.
        heard_at = arrived_at if taken.ended_now else None
        context.hints.say(_released(taken, taken.business_id, event, heard_at))
        # Somebody waits for the slot: the hint leaves first, then the answer.
        await asyncio.sleep(0)
    elif taken.result == "late_call" and event.status in STILL_LIVE:
        # A call that nobody counts any more, in nobody's slot: it must not go on.
        context.hangups.soon(LiveCall(event.attempt_id, event.call_sid))
    elif taken.hangup_requested and taken.result in ("taken", "repeat"):
        context.hangups.soon(LiveCall(event.attempt_id, event.call_sid))
    _record(context, taken, event, arrived_at)
    passed("callback.answered")
    return taken


def _record(context: Context, taken: Fact, event: CarrierEvent, arrived_at: float) -> None:
    """Figures, listeners, the log."""
    context.metrics.called_back(taken.result, event.at, arrived_at)
    if taken.ended_now:
        context.metrics.tally.calls[taken.disposition or ""] += 1
    if taken.business_id is not None and taken.result == "taken":
        context.changes.note(taken.business_id, taken.run_id, taken.job_id)
    _alert(taken, event)


async def _insist(intake: Intake, event: CarrierEvent) -> Fact:
    """Once more, at once: a deadlock is gone by then, a broken connection replaced, and a repeat is harmless."""
    asked_at = time.monotonic()
    try:
        return await intake.take(event)
    except TryAgainLater:
        if time.monotonic() - asked_at > RETRY_WITHIN_SECONDS:
            raise
    return await intake.take(event)


def _alert(taken: Fact, event: CarrierEvent) -> None:
    who = {"attempt_id": str(event.attempt_id), "call_sid": event.call_sid, "call_status": event.status}
    if taken.result == "orphan":
        logger().warning("CALLBACK_ORPHAN", **who)
    elif taken.result == "late_call":
        logger().warning(
            "LATE_CALL", business_id=taken.business_id, run_id=taken.run_id, job_id=taken.job_id, **who
        )
    elif taken.result == "not_owner":
        logger().warning("CALL_OF_ANOTHER", business_id=taken.business_id, job_id=taken.job_id, **who)


def _released(taken: Fact, business_id: int, event: CarrierEvent, heard_at: float | None) -> Hint:
    return Hint(
        "released",
        business_id,
        run_id=taken.run_id,
        attempt_id=str(event.attempt_id),
        slot=taken.slot,
        job_id=taken.job_id,
        heard_at=heard_at,
    )


def _twiml(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/xml")
