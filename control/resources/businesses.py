"""Businesses: the operator makes them and sets their limits."""

from typing import Any

from aiohttp import web

from control.context import CONTEXT
from control.database import Row
from control.document.payloads import BusinessChange, NewBusiness
from control.requests.answers import answer, moment, page_of
from control.requests.auth import Caller
from control.requests.incoming import identifier, page_asked_for, read_payload
from control.requests.problems import not_found
from dialer.edges.wakeup import Hint

CHANGEABLE = ("name", "max_concurrent_calls", "from_number", "default_region", "timezone")


async def create(request: web.Request, caller: Caller) -> web.Response:
    new = await read_payload(request, NewBusiness)
    context = request.app[CONTEXT]
    limit = new.max_concurrent_calls or context.settings.max_concurrent_calls_per_business
    made = await context.database.row(
        "insert_business", new.name, limit, new.from_number, new.default_region, new.timezone, caller.actor
    )
    return answer(as_shown(made), 201)


async def page(request: web.Request, _: Caller) -> web.Response:
    wanted = page_asked_for(request)
    rows = await request.app[CONTEXT].database.rows("page_of_businesses", wanted.after, wanted.limit + 1)
    return page_of(rows, wanted, "business_id", as_shown)


async def show(request: web.Request, _: Caller) -> web.Response:
    business_id = identifier(request.match_info["business_id"], "business")
    found = await request.app[CONTEXT].database.row("show_business", business_id)
    if found is None:
        raise not_found("business")
    return answer(as_shown(found))


async def change(request: web.Request, caller: Caller) -> web.Response:
    business_id = identifier(request.match_info["business_id"], "business")
    wanted = await read_payload(request, BusinessChange)
    context = request.app[CONTEXT]
    values = [value for field in CHANGEABLE for value in (wanted.changes(field), getattr(wanted, field))]
    changed = await context.database.row("change_business", business_id, *values, caller.actor)
    if changed is None:
        raise not_found("business")
    if wanted.changes("max_concurrent_calls"):
        context.hints.say(Hint("business", business_id))
    return answer(as_shown(changed))


def as_shown(business: Row) -> dict[str, Any]:
    return {
        "business_id": business["business_id"],
        **{name: business[name] for name in CHANGEABLE},
        "created_at": moment(business["created_at"]),
    }
