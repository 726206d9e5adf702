"""Slots by Redis: names them quickly, keeps the line between runs and daemons. Postgres referees every one."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from dialer.edges import wakeup
from dialer.edges.redis_client import AWAY, Script, open_redis
from dialer.errors import RedisAway
from dialer.rules.drift import Member
from dialer.rules.model import Business, Grant
from dialer.rules.tally import Tally

TIMEOUT_SECONDS = 0.2
TRIPS_AT_ONCE = 32
RESERVE_MS = 3_000
FRESH_MS = 1_000
FORGET_MS = 86_400_000
GRACE_MS = 2_000

_LUA = Path(__file__).parent / "lua"


@dataclass(slots=True)
class Turn:
    """What one daemon asks for one business; see lua/turn.lua for the meaning of each list."""

    business_id: int
    limit: int
    release: list[tuple[int, UUID]] = field(default_factory=list)
    confirm: list[UUID] = field(default_factory=list)
    renew: list[UUID] = field(default_factory=list)
    taken: list[tuple[int, UUID]] = field(default_factory=list)
    dropped: list[UUID] = field(default_factory=list)
    want: list[tuple[int, list[UUID]]] = field(default_factory=list)
    leave: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TurnAnswer:
    """`generation` False: the business's slots were lost, nothing was done; reconcile first."""

    generation: bool
    granted: tuple[Grant, ...] = ()
    freed: int = 0
    active: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """What a reconciliation found: how many members were wrong, and whether all were lost."""

    rebuilt: bool
    removed: int
    added: int
    active: int
    granted: tuple[Grant, ...]


@dataclass(slots=True)
class _Trips:
    """Trips to one server: so many at once, and how many have failed."""

    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TRIPS_AT_ONCE))
    failures: int = 0


class Slots:
    """The slots of every business of one installation, seen from one daemon."""

    def __init__(
        self,
        redis_url: str,
        namespace: str,
        daemon: UUID,
        tally: Tally | None = None,
        /,
        *,
        reserve_ms: int = RESERVE_MS,
        fresh_ms: int = FRESH_MS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """`reserve_ms`: how long a named slot waits for its intent. `fresh_ms`: how old a waiter's look may be."""
        # Its own pool and short time-outs: dialing never waits for a Redis that does not answer. Every script may
        # be repeated.
        self._redis = open_redis(redis_url, timeout_seconds)
        # The client takes no more than a hundred connections, and fails whoever wants one more: a crowd of
        # businesses would believe that Redis is away.
        self._trips: defaultdict[str, _Trips] = defaultdict(_Trips)
        self._namespace = namespace
        self._daemon = str(daemon)
        self._tally = tally or Tally()
        self._reserve_ms = reserve_ms
        self._fresh_ms = fresh_ms
        line = (_LUA / "line.lua").read_text(encoding="utf-8")
        self._turn = Script(line + (_LUA / "turn.lua").read_text(encoding="utf-8"))
        self._reconcile = Script(line + (_LUA / "reconcile.lua").read_text(encoding="utf-8"))

    async def turn(self, turn: Turn) -> TurnAnswer:
        """One trip: give back, confirm, ask. Raises RedisAway."""
        answer = await self._run(
            self._turn,
            turn.business_id,
            self._common(turn.business_id, turn.limit)
            | {
                "release": [[slot, str(attempt)] for slot, attempt in turn.release],
                "confirm": _texts(turn.confirm),
                "renew": _texts(turn.renew),
                "taken": [[slot, str(attempt)] for slot, attempt in turn.taken],
                "dropped": _texts(turn.dropped),
                "want": [[str(run), _texts(ids)] for run, ids in turn.want],
                "leave": [str(run) for run in turn.leave],
            },
        )
        if not answer["generation"]:
            return TurnAnswer(generation=False)
        return TurnAnswer(True, _grants(answer), answer["freed"], answer["active"], answer["waiting"])

    async def now_ms(self, business_id: int) -> int:
        """The clock of the Redis that keeps this business; ask before reading Postgres. Raises RedisAway."""
        clocks = await self.clocks([business_id])
        if not clocks:
            raise RedisAway("no clock")
        return next(iter(clocks.values()))

    async def clocks(self, business_ids: Iterable[int]) -> dict[str, int]:
        """Home (see `home`) -> its clock in ms; ask before reading Postgres. A home that is away is left out."""
        return await self._redis.clocks(self._keys(business)[0] for business in business_ids)

    def home(self, business_id: int) -> str:
        """The Redis server that keeps this business: one for all, or a node of a cluster."""
        return self._redis.home(self._keys(business_id)[0])

    async def reconcile(self, business: Business, read_ms: int, *, grace_ms: int = GRACE_MS) -> Drift:
        """Make Redis agree with what Postgres showed after `read_ms`. Raises RedisAway."""
        answer = await self._run(
            self._reconcile,
            business.business_id,
            self._common(business.business_id, business.limit)
            | {
                "read_ms": read_ms,
                "grace_ms": grace_ms,
                "generation": uuid4().hex,
                "live": [[a.slot, str(a.attempt_id)] for a in business.live],
            },
        )
        drift = Drift(answer["rebuilt"], answer["removed"], answer["added"], answer["active"], _grants(answer))
        self._tally.drift.update(rebuilt=int(drift.rebuilt), removed=drift.removed, added=drift.added)
        return drift

    async def known_businesses(self) -> set[int]:
        """Businesses of which Redis holds anything. It goes through all keys: not often. Raises RedisAway."""
        stem = f"dialer:{{{self._namespace}:"
        try:
            keys = await self._redis.keys(f"{stem}*}}:held")
        except AWAY as error:
            raise RedisAway(type(error).__name__) from error
        return {int(key.removeprefix(stem).partition("}")[0]) for key in keys}

    async def members(self, business_id: int) -> dict[int, UUID | None]:
        """Slot -> attempt as Redis has it now, reservations included; None where the owner is not known."""
        return {one.slot: one.attempt_id for one in await self.held(business_id)}

    async def held(self, business_id: int) -> list[Member]:
        """The same with their times, those included that have expired since. Raises RedisAway."""
        try:
            held = await self._redis.hgetall(self._keys(business_id)[0])
        except AWAY as error:
            raise RedisAway(type(error).__name__) from error
        return [_member(int(slot), text) for slot, text in held.items() if slot != "generation"]

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    def _common(self, business_id: int, limit: int) -> dict[str, Any]:
        return {
            "business": business_id,
            "limit": limit,
            "daemon": self._daemon,
            "channel": wakeup.channel(self._namespace),
            "reserve_ms": self._reserve_ms,
            "fresh_ms": self._fresh_ms,
            "forget_ms": FORGET_MS,
        }

    def _keys(self, business_id: int) -> list[str]:
        stem = f"dialer:{{{self._namespace}:{business_id}}}"
        return [f"{stem}:held", f"{stem}:line", f"{stem}:tickets", f"{stem}:turns"]

    async def _run(self, script: Script, business_id: int, ask: dict[str, Any]) -> dict[str, Any]:
        trips = self._trips[self.home(business_id)]
        failures = trips.failures
        async with trips.at_once:
            if trips.failures != failures:
                # Whoever was before us waited for it in vain: a crowd that did so one after the other would wait
                # for minutes, and Postgres can name slots at once.
                raise RedisAway("it failed those before us")
            try:
                text = await self._redis.run(script, self._keys(business_id), [json.dumps(ask)])
            except AWAY as error:
                trips.failures += 1
                raise RedisAway(type(error).__name__) from error
        answer: dict[str, Any] = json.loads(text)
        return answer


def _texts(ids: Iterable[UUID]) -> list[str]:
    return [str(i) for i in ids]


def _grants(answer: dict[str, Any]) -> tuple[Grant, ...]:
    rows: Sequence[Sequence[Any]] = answer.get("granted", ())
    return tuple(Grant(int(run), UUID(attempt), int(slot)) for run, attempt, slot in rows)


def _member(slot: int, text: Any) -> Member:
    """See lua/line.lua for what a field holds."""
    attempt, since, expires = text.split("|")
    return Member(slot, None if attempt == "taken" else UUID(attempt), int(since), int(expires) or None)
