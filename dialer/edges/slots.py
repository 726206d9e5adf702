"""Slots by Redis: names them quickly, keeps the line between runs and daemons. Postgres referees every one."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dialer.edges import wakeup
from dialer.errors import RedisAway
from dialer.rules.drift import Member
from dialer.rules.model import Business, Grant
from dialer.rules.tally import Tally

TIMEOUT_SECONDS = 0.2
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
        # Its own pool and short time-outs: dialing never waits for a Redis that does not answer. One immediate
        # retry, because every script may be repeated.
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._namespace = namespace
        self._daemon = str(daemon)
        self._tally = tally or Tally()
        self._reserve_ms = reserve_ms
        self._fresh_ms = fresh_ms
        line = (_LUA / "line.lua").read_text(encoding="utf-8")
        self._turn = self._redis.register_script(line + (_LUA / "turn.lua").read_text(encoding="utf-8"))
        self._reconcile = self._redis.register_script(line + (_LUA / "reconcile.lua").read_text(encoding="utf-8"))

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

    async def now_ms(self) -> int:
        """Redis's clock; ask before reading Postgres for a reconciliation. Raises RedisAway."""
        try:
            seconds, micros = await self._redis.time()
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAway(type(error).__name__) from error
        return int(seconds) * 1000 + int(micros) // 1000

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
            keys = [key async for key in self._redis.scan_iter(match=f"{stem}*}}:held", count=1000)]
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAway(type(error).__name__) from error
        return {int(str(key).removeprefix(stem).partition("}")[0]) for key in keys}

    async def members(self, business_id: int) -> dict[int, UUID | None]:
        """Slot -> attempt as Redis has it now, reservations included; None where the owner is not known."""
        return {one.slot: one.attempt_id for one in await self.held(business_id)}

    async def held(self, business_id: int) -> list[Member]:
        """The same with their times, those included that have expired since. Raises RedisAway."""
        try:
            held = await self._redis.hgetall(self._keys(business_id)[0])
        except (RedisError, OSError, TimeoutError) as error:
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

    async def _run(self, script: Any, business_id: int, ask: dict[str, Any]) -> dict[str, Any]:
        try:
            text = await script(keys=self._keys(business_id), args=[json.dumps(ask)])
        except (RedisError, OSError, TimeoutError) as error:
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
