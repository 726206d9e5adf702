"""POST /api/outbound_calls/start: a calling list becomes a run."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from control.context import CONTEXT, Context
from control.database import Row
from control.document.payloads import LARGEST_ID, StartSettings
from control.lists import collector, idempotency, imports, leads, sent_lists
from control.lists.idempotency import Request, Started
from control.lists.imports import NewRun
from control.lists.leads import CallingList
from control.lists.phones import e164
from control.lists.sent_lists import SentLeads, Unreadable
from control.requests.auth import Caller, business_asked_for
from control.requests.incoming import is_json, read_body, validated
from control.requests.problems import Fault, invalid, not_found, unsupported_type
from dialer.edges.wakeup import Hint
from dialer.telemetry import logger

# Smaller lists cost less than a trip to another thread.
LARGE_BODY_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Submission:
    """What was sent. `settings` and `leads` are as they came, nothing in them is believed yet."""

    settings: dict[str, Any]
    leads: Any
    digest: bytes
    size: int
    strict: bool  # settings that came as JSON have types; in a query string all are text


async def start_run(request: web.Request, caller: Caller) -> web.Response:
    if not (is_json(request) or _is_csv(request)):
        raise unsupported_type("application/json or text/csv")
    body = await read_body(request, request.app[CONTEXT].settings.max_request_bytes)
    with collector.held_off():
        sent = await _submission(request, body)
        del body  # what is needed of it is in there
        return await _start(request, caller, sent)


async def _start(request: web.Request, caller: Caller, sent: Submission) -> web.Response:
    context = request.app[CONTEXT]
    settings, faults = _settings(sent)
    key = idempotency.key_of(request, faults)
    business_id = business_asked_for(request, caller, _business_in(sent, settings))
    if business_id is None:
        if not any(fault.pointer == "/business_id" for fault in faults):
            faults.append(Fault("/business_id", "name the business"))
        raise invalid(*faults)
    wanted = Request(business_id, key, sent.digest)
    if (replayed := await idempotency.recall(context.database, wanted)) is not None:
        return created(replayed, replayed=True)
    business = await context.database.row("show_business", business_id)
    if business is None:
        raise not_found("business")
    calling_list = await _read_leads(sent, business["default_region"], faults)
    from_number = _from_number(sent, context, business, faults)
    if faults or settings is None or from_number is None:
        raise invalid(*faults)
    run = NewRun(business_id, caller.actor, settings, from_number, context.settings)
    async with context.imports:
        outcome = await imports.write(context.database, wanted, run, calling_list)
    if outcome.started is not None:
        tell(context, business_id, outcome.started, rejected=len(calling_list.rejected))
    return created(outcome.answer, replayed=outcome.started is None)


def created(text: str, *, replayed: bool) -> web.Response:
    """The answer to a start, from its JSON."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return web.Response(text=text, status=201, headers=headers, content_type="application/json")


def tell(context: Context, business_id: int, started: Started, **more: Any) -> None:
    """After the commit: tell the daemons, the log and, of a large list, the planner."""
    run_id = started.run_id
    context.hints.say(Hint("run", business_id, run_id=run_id))
    logger().info("RUN_STARTED", business_id=business_id, run_id=run_id, queued=started.queued, **more)
    if started.queued > imports.LARGE_IMPORT:
        context.chores.start("analyze", imports.analyze(context.database))


async def _submission(request: web.Request, body: bytes) -> Submission:
    read = _from_csv if _is_csv(request) else _from_json
    try:
        if len(body) <= LARGE_BODY_BYTES:
            return read(request, body)
        return await asyncio.to_thread(read, request, body)
    except Unreadable as unreadable:
        raise invalid(unreadable.fault, code=unreadable.code) from None


def _from_json(request: web.Request, body: bytes) -> Submission:
    settings = sent_lists.from_json(body)
    return Submission(settings, settings.pop("leads", None), _digest(request, body), len(body), strict=True)


def _from_csv(request: web.Request, body: bytes) -> Submission:
    rows = sent_lists.from_csv(body, request.charset)
    settings = {name: value for name, value in request.query.items() if name != "business_id"}
    return Submission(settings, rows, _digest(request, body), len(body), strict=False)


def _digest(request: web.Request, body: bytes) -> bytes:
    kind = "csv" if _is_csv(request) else "json"
    query = urlsplit(request.raw_path).query
    digest = hashlib.sha256(f"{kind}?{query}\n".encode("utf-8", "surrogateescape"))
    digest.update(body)
    return digest.digest()


def _is_csv(request: web.Request) -> bool:
    return request.content_type == "text/csv"


def _settings(sent: Submission) -> tuple[StartSettings | None, list[Fault]]:
    settings, faults = validated(StartSettings, sent.settings, strict=sent.strict)
    given = [name for name in ("twiml", "url") if sent.settings.get(name) is not None]
    if not given:
        faults.append(Fault("/twiml", "give twiml or url: what the call is to do"))
    if len(given) > 1:
        faults.append(Fault("/url", "give twiml or url, not both"))
    if not isinstance(sent.leads, SentLeads) or not sent.leads:
        faults.append(Fault("/leads", "must be a list of leads, one at least"))
    return settings, faults


def _business_in(sent: Submission, settings: StartSettings | None) -> int | None:
    """The id in the body, if it can be one; if not, that is a fault already."""
    if settings is not None:
        return settings.business_id
    value = sent.settings.get("business_id")
    return value if type(value) is int and 1 <= value <= LARGEST_ID else None


async def _read_leads(sent: Submission, region: str | None, faults: list[Fault]) -> CallingList:
    """The list; with none to dial in it, each lead's fault joins `faults`."""
    if not isinstance(sent.leads, SentLeads):
        return CallingList()
    if sent.size <= LARGE_BODY_BYTES:
        result, undialable = _judged(sent.leads, region)
    else:
        result, undialable = await asyncio.to_thread(_judged, sent.leads, region)
    faults += undialable
    return result


def _judged(raw: SentLeads, region: str | None) -> tuple[CallingList, list[Fault]]:
    result = leads.calling_list(raw, region)
    wrong = () if result.accepted else result.rejected
    return result, [Fault(f"/leads/{bad.index}", bad.code) for bad in wrong]


def _from_number(sent: Submission, context: Context, business: Row, faults: list[Fault]) -> str | None:
    """The caller ID: this run's, else the business's, else the installation's."""
    written = sent.settings.get("from_number")
    if written is None:
        inherited: str | None = business["from_number"] or context.settings.twilio_from_number
        if inherited is None:
            faults.append(
                Fault("/from_number", "is set neither here, nor at the business, nor by TWILIO_FROM_NUMBER")
            )
        return inherited
    if not isinstance(written, str):
        return None  # a fault already
    number = e164(written, business["default_region"])
    if number is None:
        faults.append(Fault("/from_number", "must be a phone number"))
    return number
