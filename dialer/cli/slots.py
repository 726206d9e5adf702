"""`dialer slots`: Redis's slots against Postgres's live attempts. It talks to both itself, not to control.

Control names no slots and knows no Redis script; this needs DATABASE_URL and REDIS_URL, as a daemon does.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import click

from dialer import telemetry
from dialer.cli.failures import Failed, say
from dialer.cli.group import example
from dialer.cli.reach import settings_in_reach
from dialer.cli.show import json_option, print_json_list, print_table
from dialer.config import Settings, secret
from dialer.edges.inspection import Inspection
from dialer.edges.slots import GRACE_MS, Drift, Slots
from dialer.errors import DatabaseAway, RedisAway
from dialer.rules.drift import DRIFTED, Seen, compare
from dialer.rules.model import Business

CONNECTIONS = 1
ANSWER_WITHIN_SECONDS = 2.0
_BUSINESSES_AT_ONCE = 200

_SEEN = ("business", "slot", "in Redis", "in Postgres", "state")
_MENDED = ("business", "removed", "added", "rebuilt", "held")

T = TypeVar("T")

business_option = click.option("--business", type=click.IntRange(min=1), metavar="ID", help="Only this business.")


@click.group(epilog=example("dialer slots list --drifted"))
def slots() -> None:
    """Look at slots, and mend them. Needs DATABASE_URL and REDIS_URL, or `dialer up` on this machine."""


@slots.command(name="list", epilog=example("dialer slots list", "dialer slots list --business 4 --drifted"))
@business_option
@click.option("--drifted", is_flag=True, help="Only those of which the two do not agree.")
@json_option
def list_slots(business: int | None, drifted: bool, as_json: bool) -> None:
    """List the slots that Redis holds beside the live attempts that Postgres knows.

    `same`: they agree. `reserved`: named, and its intent is on its way. `settling`: changed within the last two
    seconds. These do not agree: `left behind` (in Redis alone: nobody can have it), `missing` (in Postgres alone:
    no call too many comes of it, Postgres refuses), `other` (two attempts). Daemons mend that within a minute, and
    `dialer slots reconcile` at once; a call that ends just now may show for a moment.
    """
    seen = _ask(lambda inspection, held: compared(inspection, held, business))
    shown = [one for one in seen if one.state in DRIFTED or not drifted]
    if as_json:
        print_json_list(_as_json(one) for one in shown)
    else:
        print_table(_SEEN, (_row(one) for one in shown))
    differing = sum(one.state in DRIFTED for one in seen)
    held = "1 slot is" if len(seen) == 1 else f"{len(seen)} slots are"
    say(f"{held} held, " + (f"{differing} drifted" if differing else "all as they should be"))


@slots.command(epilog=example("dialer slots reconcile", "dialer slots reconcile --business 4"))
@business_option
@json_option
def reconcile(business: int | None, as_json: bool) -> None:
    """Make Redis agree with Postgres now, as daemons do by themselves. No call is ended by it.

    What changed within the last two seconds is left alone. To do it again is harmless.
    """
    mended = _ask(lambda inspection, held: _reconciled(inspection, held, business))
    if as_json:
        print_json_list({"business_id": business_id, **_drift(drift)} for business_id, drift in mended)
        return
    print_table(_MENDED, ((business_id, *_drift(drift).values()) for business_id, drift in mended))


async def compared(inspection: Inspection, held: Slots, business: int | None = None) -> list[Seen]:
    """Every slot that either side shows. Raises DatabaseAway and RedisAway."""
    return [
        seen
        async for one, read_ms in businesses_in_view(inspection, held, business)
        for seen in compare(one, await held.held(one.business_id), read_ms, GRACE_MS)
    ]


async def _reconciled(inspection: Inspection, held: Slots, business: int | None) -> list[tuple[int, Drift]]:
    return [
        (one.business_id, await held.reconcile(one, read_ms))
        async for one, read_ms in businesses_in_view(inspection, held, business)
    ]


async def businesses_in_view(
    inspection: Inspection, held: Slots, business: int | None = None
) -> AsyncIterator[tuple[Business, int]]:
    """Businesses that have slots on either side, or the one named, each with Redis's clock before it was read.

    Raises DatabaseAway and RedisAway.
    """
    known = {business} if business else await held.known_businesses() | await inspection.businesses_at_work()
    ordered = sorted(known)
    for start in range(0, len(ordered), _BUSINESSES_AT_ONCE):
        part = ordered[start : start + _BUSINESSES_AT_ONCE]
        clocks = await held.clocks(part)
        for one in await inspection.businesses(part):
            if (home := held.home(one.business_id)) not in clocks:
                raise RedisAway("no clock")
            yield one, clocks[home]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Inspection, Slots]]:
    """Both sides, for a while. Raises DatabaseAway."""
    inspection = await Inspection.connect(
        secret(settings.database_url), CONNECTIONS, prepared=settings.database_statement_cache_size
    )
    try:
        namespace = await inspection.installation()
        held = Slots(secret(settings.redis_url), namespace, uuid4(), None, timeout_seconds=ANSWER_WITHIN_SECONDS)
        try:
            yield inspection, held
        finally:
            await held.close()
    finally:
        await inspection.close()


def _ask(what: Callable[[Inspection, Slots], Awaitable[T]]) -> T:
    telemetry.set_up("ERROR", "console", sys.stderr)
    settings = settings_in_reach()
    settings.require("DATABASE_URL", "REDIS_URL")

    async def ask() -> T:
        async with opened(settings) as (inspection, held):
            return await what(inspection, held)

    try:
        return asyncio.run(ask())
    except DatabaseAway as away:
        raise Failed(f"Postgres (DATABASE_URL) does not answer ({away}): see dialer doctor") from away
    except RedisAway as away:
        raise Failed(f"Redis (REDIS_URL) does not answer ({away}): see dialer doctor") from away


def _row(seen: Seen) -> Sequence[object]:
    return (seen.business_id, seen.slot, seen.redis, seen.postgres, seen.state)


def _as_json(seen: Seen) -> dict[str, Any]:
    return {
        "business_id": seen.business_id,
        "slot": seen.slot,
        "redis": _text(seen.redis),
        "postgres": _text(seen.postgres),
        "state": seen.state,
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {name: getattr(drift, name) for name in ("removed", "added", "rebuilt", "active")}


def _text(attempt: UUID | None) -> str | None:
    return None if attempt is None else str(attempt)
