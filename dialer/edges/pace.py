"""Calls per second of one carrier account, shared by all daemons through Redis."""

from dataclasses import dataclass
from pathlib import Path

from dialer.edges.redis_client import AWAY, Script, open_redis
from dialer.edges.slots import TIMEOUT_SECONDS
from dialer.errors import RedisAway

_SCRIPT = Script((Path(__file__).parent / "lua" / "pace.lua").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Permits:
    """`count` creates may be sent: the first after `wait_seconds`, the others an interval later each.

    With count 0, ask again after `wait_seconds`.
    """

    count: int
    wait_seconds: float


class Pace:
    """The bucket of one account. `calls_per_second` must be more than 0."""

    def __init__(self, redis_url: str, namespace: str, account: str, calls_per_second: float) -> None:
        self._redis = open_redis(redis_url, TIMEOUT_SECONDS)
        self._key = f"dialer:{{{namespace}:{account}}}:next_create_at"
        self.interval_seconds = 1.0 / calls_per_second

    async def ask(self, wanted: int, horizon_seconds: float) -> Permits:
        """Permits for at most `wanted` creates, none further ahead than `horizon_seconds`. Raises RedisAway."""
        args = [round(self.interval_seconds * 1e6), wanted, round(horizon_seconds * 1e6)]
        try:
            count, wait = await self._redis.run(_SCRIPT, [self._key], args)
        except AWAY as error:
            raise RedisAway(type(error).__name__) from error
        return Permits(int(count), int(wait) / 1e6)

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()
