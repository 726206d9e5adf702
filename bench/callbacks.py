"""How many signed callbacks a second does one control take? `python -m bench.callbacks [--calls 4000] [--at-once 64]`

Each ends a live call, for good, with a durable commit before its 204. Beside it, in turn, the floor: a bare handler
that checks the signature and commits what arrived within two milliseconds as one statement. The client that posts and
signs shares the machine with both.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
from twilio.request_validator import RequestValidator

from bench.floor import SCHEMA, bare_process
from bench.ground import Line, arguments, durable_servers, migrated_database, new_database, show
from dialer.embedded import EmbeddedServers
from tests.support.crowds import add_business, add_jobs, add_runs, claimed_by
from tests.support.runs import Worker
from tests.system.stack import stack

Post = tuple[str, dict[str, str], dict[str, str]]


def main() -> int:
    parser = arguments("callbacks", __doc__)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--at-once", type=int, default=64, help="connections of the client")
    options = parser.parse_args()
    ours, floor = [], []
    with durable_servers() as servers:
        for n in range(options.runs):
            floor.append(asyncio.run(measure_floor(servers, n, options.calls, options.at_once)))
            ours.append(asyncio.run(measure(servers, n, options.calls, options.at_once)))
    show(
        f"{options.calls} callbacks over {options.at_once} connections, {options.runs} runs",
        [Line("callbacks a second", "", ours, floor)],
        as_json=options.json,
    )
    return 0


async def measure(servers: EmbeddedServers, number: int, calls: int, at_once: int) -> float:
    database = await migrated_database(servers.dsn, f"callbacks_{number}")
    with tempfile.TemporaryDirectory() as logs:
        async with stack(database, servers.redis_url, Path(logs)) as system:
            attempts = await live_calls(system.db, calls)
            posts = signed(system.url, attempts, system.sim.settings.auth_token)
            rate = await per_second(posts, at_once)
            left = await system.db.fetchval("SELECT count(*) FROM outbound_call_attempts WHERE ended_at IS NULL")
            assert left == 0, left
            return rate


async def measure_floor(servers: EmbeddedServers, number: int, calls: int, at_once: int) -> float:
    database = await new_database(servers.dsn, f"callbacks_floor_{number}")
    db: Any = await asyncpg.connect(database)
    try:
        await db.execute(SCHEMA)
        rows = await db.fetch(
            """INSERT INTO bare_calls SELECT gen_random_uuid(), n, '+12125550100', 'intent'
               FROM generate_series(1, $1::integer) AS n RETURNING id""",
            calls,
        )
        settings = {"DATABASE_URL": database, "REDIS_URL": servers.redis_url, "TOKEN": "token", "BATCHED": "1"}
        async with bare_process("control", settings) as url:
            rate = await per_second(signed(url, [row["id"] for row in rows], "token"), at_once)
        assert await db.fetchval("SELECT count(*) FROM bare_calls WHERE status <> 'completed'") == 0
        return rate
    finally:
        await db.close()


async def live_calls(db: Any, count: int) -> list[UUID]:
    """Attempts whose calls are in progress, as the statements of a daemon leave them."""
    business = await add_business(db)
    [run] = await add_runs(db, business, 1)
    await add_jobs(db, business, run, count)
    worker = await Worker.join(db)
    await claimed_by(worker, 1)
    attempts: list[UUID] = []
    for first in range(1, count + 1, 500):
        slots = list(range(first, min(first + 500, count + 1)))
        attempts += [row["attempt_id"] for row in await worker.intend(run, slots, first - 2)]
    await db.execute(
        """SELECT take_carrier_event(id, 'CA' || replace(id::text, '-', ''), 'callback', n, status, NULL, NULL, NULL,
                                     NULL, NULL)
           FROM unnest($1::uuid[]) AS a (id), (VALUES (1, 'ringing'), (2, 'in-progress')) AS s (n, status)
           ORDER BY n""",
        attempts,
        timeout=300,
    )
    await db.execute("VACUUM ANALYZE")
    return attempts


def signed(url: str, attempts: Sequence[UUID], token: str) -> list[Post]:
    """The post of each call's end; signed beforehand, the client's time is not the server's."""
    validator, posts = RequestValidator(token), []
    for attempt in attempts:
        to = f"{url}/webhook/call_status?attempt={attempt}"
        form = {
            "CallSid": f"CA{attempt.hex}",
            "CallStatus": "completed",
            "SequenceNumber": "3",
            "CallDuration": "1",
        }
        posts.append((to, form, {"X-Twilio-Signature": validator.compute_signature(to, form)}))
    return posts


async def per_second(posts: list[Post], at_once: int) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as http:
        began = time.perf_counter()
        await in_turns(at_once, [_poster(http, post) for post in posts])
        return len(posts) / (time.perf_counter() - began)


def _poster(http: aiohttp.ClientSession, post: Post) -> Callable[[], Awaitable[None]]:
    async def send() -> None:
        url, form, headers = post
        async with http.post(url, data=form, headers=headers) as answer:
            assert answer.status == 204, await answer.text()

    return send


async def in_turns(at_once: int, acts: list[Callable[[], Awaitable[None]]]) -> None:
    left = iter(acts)

    async def some() -> None:
        for act in left:
            await act()

    await asyncio.gather(*(some() for _ in range(at_once)))


if __name__ == "__main__":
    sys.exit(main())
