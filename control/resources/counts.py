"""GET /api/outbound_calls/counts: how many calls a business has, may have, and has waiting."""

from aiohttp import web

from control.context import CONTEXT
from control.requests.answers import answer
from control.requests.auth import Caller, business_asked_for
from control.requests.problems import Fault, invalid, not_found


async def counts(request: web.Request, caller: Caller) -> web.Response:
    business_id = business_asked_for(request, caller)
    if business_id is None:
        raise invalid(Fault("/business_id", "name the business"))
    found = await request.app[CONTEXT].database.row("counts", business_id)
    if found is None:
        raise not_found("business")
    return answer({name: found[name] for name in ("active", "limit", "waiting")})
