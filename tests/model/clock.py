"""The time of one example: for Postgres, for Redis and for the daemons. It moves only when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

# Far from the present, so that a time which did not come from here is seen at once.
START = datetime(2041, 1, 1, tzinfo=UTC)

# Redis has a clock of its own that cannot be set. So each second of the model is this many of its milliseconds, and
# what really passes while an example runs is next to nothing.
REDIS_MS_PER_SECOND = 1_000_000

# Every transaction comes a microsecond after the one before, as guards by time need it.
_SCHEMA = """
CREATE SCHEMA model;
CREATE FUNCTION model.now() RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT current_setting('model.now')::timestamptz
           + (pg_current_xact_id()::text::bigint - current_setting('model.xact')::bigint) * interval '1 microsecond'
$$;
CREATE FUNCTION model.pg_postmaster_start_time() RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT current_setting('model.postgres_started')::timestamptz
$$;
"""

_DEFAULTS = """
SELECT format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT model.now()', table_name, column_name) AS change
FROM information_schema.columns WHERE table_schema = 'public' AND column_default = 'now()'
"""

# Make the members and tickets of one business older by ARGV[1] ms.
_AGE = """
local by = tonumber(ARGV[1])
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
    local attempt, since, expires = string.match(held[i + 1], '^(.-)|(%d+)|(%d+)$')
    if attempt then
        expires = tonumber(expires)
        redis.call('HSET', KEYS[1], held[i], string.format('%s|%.0f|%.0f', attempt, math.max(tonumber(since) - by, 0),
            expires > 0 and math.max(expires - by, 1) or 0))
    end
end
local tickets = redis.call('HGETALL', KEYS[3])
for i = 1, #tickets, 2 do
    local ticket = cjson.decode(tickets[i + 1])
    ticket.seen = ticket.seen - by
    redis.call('HSET', KEYS[3], tickets[i], cjson.encode(ticket))
end
return 1
"""


async def install(db: Any) -> None:
    """Put the model's clock into a migrated database; `db` is a connection with the usual search path."""
    await db.execute(_SCHEMA)
    for row in await db.fetch(_DEFAULTS):
        await db.execute(row["change"])
    await db.execute("SET search_path = model, public, pg_catalog")


class Clock:
    """Seconds since the example began."""

    def __init__(self, db: Any, redis: Any) -> None:
        self.now = 0.0
        self._db = db
        self._redis = redis

    async def start(self) -> None:
        """It is START, and Postgres has run for a day."""
        self.now = 0.0
        await self._set()
        await self.postgres_started(-86_400.0)

    async def advance(self, seconds: float) -> None:
        """Later, for Postgres and the daemons; see `age` for Redis."""
        self.now += seconds
        await self._set()

    async def postgres_started(self, at: float) -> None:
        """Postgres has been up since then."""
        await self._db.execute(
            "SELECT set_config('model.postgres_started', $1, false)", (START + timedelta(seconds=at)).isoformat()
        )

    async def age(self, keys: list[str], seconds: float) -> None:
        """Later, for the slots of one business."""
        await self._redis.eval(_AGE, len(keys), *keys, int(seconds * REDIS_MS_PER_SECOND))

    async def _set(self) -> None:
        await self._db.execute(
            """SELECT set_config('model.now', $1, false),
                      set_config('model.xact', pg_current_xact_id()::text, false)""",
            (START + timedelta(seconds=self.now)).isoformat(),
        )


def seconds(moment: datetime) -> float:
    """A moment of the database as seconds of the example."""
    return (moment - START).total_seconds()
