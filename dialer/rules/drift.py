"""Slots as Redis shows them against the attempts that Postgres knows: what agrees, what does not and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from dialer.rules.model import Business

SAME = "same"
RESERVED = "reserved"
SETTLING = "settling"
LEFT_BEHIND = "left behind"
MISSING = "missing"
OTHER = "other"
# These do not go away by themselves: a reconciliation mends them.
DRIFTED = frozenset({LEFT_BEHIND, MISSING, OTHER})


@dataclass(frozen=True, slots=True)
class Member:
    """A slot that Redis shows as held. Times in ms of Redis's clock; `expires_ms` None: its intent is committed.

    `attempt_id` None: a live call is in it whose attempt Redis was not told.
    """

    slot: int
    attempt_id: UUID | None
    since_ms: int
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One slot on both sides. `state`: same; reserved (named, its intent is on its way); settling (changed a moment
    ago: not judged); left behind (Redis alone: nobody can have it); missing (Postgres alone: Redis would name it
    again, and Postgres refuse); other (two attempts)."""

    business_id: int
    slot: int
    redis: UUID | None
    postgres: UUID | None
    state: str


def compare(business: Business, members: Iterable[Member], read_ms: int, grace_ms: int) -> list[Seen]:
    """Every slot that one of the two shows, in order. `read_ms`: Redis's clock before Postgres was read.

    The same judgement as in lua/reconcile.lua, which mends what drifted.
    """
    live = {attempt.slot: attempt.attempt_id for attempt in business.live}
    held = {one.slot: one for one in members if one.expires_ms is None or one.expires_ms > read_ms}
    return [
        Seen(
            business.business_id,
            slot,
            held[slot].attempt_id if slot in held else None,
            live.get(slot),
            _state(held.get(slot), live.get(slot), read_ms - grace_ms),
        )
        for slot in sorted(held.keys() | live.keys())
    ]


def _state(member: Member | None, live: UUID | None, settled_ms: int) -> str:
    if member is None:
        return MISSING
    if live is not None and member.attempt_id in (live, None):
        return SAME
    if member.expires_ms is not None:
        return RESERVED
    if member.since_ms >= settled_ms:
        return SETTLING
    return LEFT_BEHIND if live is None else OTHER
