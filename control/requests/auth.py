"""Who is asking, and what they may do."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

import structlog
from aiohttp import web

from control.context import CONTEXT, Context
from control.requests.incoming import identifier
from control.requests.problems import Fault, forbidden, invalid, not_found, unauthorized


class Access(Enum):
    """What a route asks of its caller."""

    READ = "any token"
    WRITE = "a member's key, or the operator's token"
    OPERATOR = "the operator's token"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: a business key (`business_id` is set), or the operator (None), who acts for any."""

    business_id: int | None
    actor: str
    may_write: bool = True
    key_id: int | None = None

    @property
    def is_operator(self) -> bool:
        return self.business_id is None

    def must_own(self, business_id: int) -> None:
        """Answer 403 unless an object of this business is the caller's."""
        if self.business_id not in (None, business_id):
            raise forbidden("not_yours", "this belongs to another business")


OPERATOR = Caller(None, "operator")

GuardedHandler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


def guarded(handler: GuardedHandler, access: Access) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler, called only for those who may."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await authenticate(request, limited=True)
        structlog.contextvars.bind_contextvars(actor=caller.actor)
        if access is Access.OPERATOR and not caller.is_operator:
            raise forbidden("operator_only", "only the operator may do this")
        if access is Access.WRITE and not caller.may_write:
            raise forbidden("read_only", "this key may only read")
        return await handler(request, caller)

    return handle


async def authenticate(request: web.Request, *, limited: bool = False) -> Caller:
    """The caller that the bearer token names; `limited`: this request counts against the token's rate.

    Raises AnswerWith 401; 429 when the token asks too often, or wrong ones come too often from this address.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise unauthorized("no_token", "send Authorization: Bearer TOKEN")
    context = request.app[CONTEXT]
    given = token.encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(given).digest()
    context.limits.admit(digest, request.remote, limited=limited)
    caller = await _named_by(context, given, digest)
    if caller is None:
        context.limits.wrong(digest, request.remote)
        raise unauthorized("bad_token", "this token is not known, or was revoked")
    context.limits.right(digest, limited=limited)
    return caller


async def _named_by(context: Context, token: bytes, digest: bytes) -> Caller | None:
    operators = context.settings.dialer_admin_token
    if operators is not None and hmac.compare_digest(token, operators.get_secret_value().encode()):
        return OPERATOR
    key = await context.database.row("find_api_key", digest)
    if key is None:
        return None
    return Caller(key["business_id"], f"key:{key['key_id']}", key["role"] == "member", key["key_id"])


def business_asked_for(request: web.Request, caller: Caller, in_body: int | None = None) -> int | None:
    """The business this request is about: the key's own, or the one that the operator names; None: all of them.

    Raises AnswerWith: 403 when a key names another business, 404 for what is no id.
    """
    in_query = request.query.get("business_id")
    named = {identifier(in_query, "business")} if in_query is not None else set()
    if in_body is not None:
        named.add(in_body)
    for business_id in named:
        caller.must_own(business_id)
    if len(named) > 1:
        raise invalid(Fault("/business_id", "is not the one in the query string"))
    return named.pop() if named else caller.business_id


async def must_exist(request: web.Request, business_id: int) -> None:
    """Answer 404 when there is no such business."""
    if await request.app[CONTEXT].database.row("show_business", business_id) is None:
        raise not_found("business")
