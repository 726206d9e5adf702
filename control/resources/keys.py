"""API keys of businesses. A token is shown once, when it is made; only its hash is kept."""

import hashlib
import secrets
from typing import Any

from aiohttp import web

from control.context import CONTEXT
from control.database import Row
from control.document.payloads import NewKey
from control.requests.answers import answer, moment, page_of
from control.requests.auth import Caller, must_exist
from control.requests.incoming import identifier, page_asked_for, read_payload
from control.requests.problems import not_found

# Scanners for secrets find tokens by how they begin; a person tells his keys apart by a little more.
MARK = "dialer_key_"
SHOWN_CHARACTERS = len(MARK) + 6
# Of which six characters are shown in lists: 276 bits stay secret.
RANDOM_BYTES = 39


async def create(request: web.Request, caller: Caller) -> web.Response:
    business_id = identifier(request.match_info["business_id"], "business")
    new = await read_payload(request, NewKey)
    token = MARK + secrets.token_urlsafe(RANDOM_BYTES)
    digest = hashlib.sha256(token.encode()).digest()
    made = await request.app[CONTEXT].database.row(
        "insert_key", business_id, new.name, new.role, token[:SHOWN_CHARACTERS], digest, caller.actor
    )
    if made is None:
        raise not_found("business")
    shown = {name: made[name] for name in ("key_id", "business_id", "name", "role", "prefix")}
    return answer({**shown, "token": token}, 201)


async def page(request: web.Request, _: Caller) -> web.Response:
    business_id = identifier(request.match_info["business_id"], "business")
    wanted = page_asked_for(request)
    await must_exist(request, business_id)
    rows = await request.app[CONTEXT].database.rows("page_of_keys", business_id, wanted.after, wanted.limit + 1)
    return page_of(rows, wanted, "key_id", as_shown)


async def revoke(request: web.Request, caller: Caller) -> web.Response:
    key_id = identifier(request.match_info["key_id"], "key")
    if await request.app[CONTEXT].database.row("revoke_key", key_id, caller.actor) is None:
        raise not_found("key")
    return web.Response(status=204)


def as_shown(key: Row) -> dict[str, Any]:
    return {
        **{name: key[name] for name in ("key_id", "business_id", "name", "role", "prefix")},
        "created_at": moment(key["created_at"]),
        "revoked_at": moment(key["revoked_at"]),
    }
