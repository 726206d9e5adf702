"""The floor under the hand-off: the same durable commits, trips and requests, and nothing else.

`python -m bench.floor control|dialer`, started by bench.handoff. Two bare processes, no library but the drivers,
no guard, no state beyond a counter: what the machine allows to any program of this shape.

    control   callback in, signature -> one commit (an event, the end of the call) -> one message -> 204
    dialer    message in -> one trip to Redis (give the slot back, take it again) -> one commit (the intent) -> create

With BATCHED set, what comes while a commit is under way, or within two milliseconds, is one statement (and one trip).
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, quote
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import redis.asyncio
import uvloop
from aiohttp import web

CHANNEL = "floor"
SLOTS = "floor:slots"
SCHEMA = """
CREATE TABLE bare_calls (id uuid PRIMARY KEY, slot integer NOT NULL, phone text NOT NULL, status text NOT NULL);
CREATE TABLE bare_events (id uuid NOT NULL, status text NOT NULL);
"""
WRITE_INTENT = "INSERT INTO bare_calls VALUES ($1, $2, $3, 'intent')"
WRITE_INTENTS = """
INSERT INTO bare_calls SELECT id, slot, phone, 'intent' FROM unnest($1::uuid[], $2::integer[], $3::text[])
AS g (id, slot, phone)
"""
TAKE_EVENT = """
WITH event AS (INSERT INTO bare_events VALUES ($1, $2))
UPDATE bare_calls SET status = $2 WHERE id = $1 RETURNING slot
"""
TAKE_EVENTS = """
WITH given AS (SELECT * FROM unnest($1::uuid[], $2::text[]) AS g (id, status)),
     event AS (INSERT INTO bare_events SELECT id, status FROM given)
UPDATE bare_calls c SET status = g.status FROM given g WHERE c.id = g.id RETURNING c.id, c.slot
"""
BATCH_SECONDS = 0.002
MOST_IN_A_BATCH = 100
SWAP = """
for _, slot in ipairs(ARGV) do
    redis.call('SREM', KEYS[1], slot)
    redis.call('SADD', KEYS[1], slot)
end
"""


async def control() -> None:
    """Takes callbacks until it is ended. Prints its address."""
    pool: Any = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=8, max_size=8, reset=_keep)
    # As many at once as there are; the library's own pool would refuse.
    pooled = redis.asyncio.BlockingConnectionPool.from_url(os.environ["REDIS_URL"], max_connections=16)
    connection = redis.asyncio.Redis(connection_pool=pooled)
    token = os.environ["TOKEN"].encode()
    store = Batches(pool).store if os.environ.get("BATCHED") else Singly(pool).store

    async def take(request: web.Request) -> web.Response:
        form = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        signed = f"{request.scheme}://{request.host}{request.raw_path}" + "".join(k + v for k, v in sorted(form))
        if (
            base64.b64encode(hmac.digest(token, signed.encode(), "sha1")).decode()
            != request.headers["X-Twilio-Signature"]
        ):
            return web.Response(status=403)
        status = dict(form)["CallStatus"]
        slot = await store(UUID(request.query["attempt"]), status)
        if status == "completed":
            await connection.publish(CHANNEL, str(slot))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/webhook/call_status", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(_address(runner), flush=True)
    await asyncio.Event().wait()


class Singly:
    """One commit for each event."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def store(self, call: UUID, status: str) -> int:
        slot: int = await self._pool.fetchval(TAKE_EVENT, call, status)
        return slot


class Batches:
    """One commit for all events that arrive while another is under way, or within two milliseconds."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._waiting: list[tuple[UUID, str, asyncio.Future[int]]] = []
        self._task: asyncio.Task[None] | None = None

    async def store(self, call: UUID, status: str) -> int:
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, status, stored))
        if self._task is None:
            self._task = asyncio.create_task(self._write())
        return await stored

    async def _write(self) -> None:
        await asyncio.sleep(BATCH_SECONDS)
        while self._waiting:
            batch, self._waiting = self._waiting, []
            rows = await self._pool.fetch(TAKE_EVENTS, [c for c, _, _ in batch], [s for _, s, _ in batch])
            slots = {row["id"]: row["slot"] for row in rows}
            for call, _, stored in batch:
                stored.set_result(slots[call])
        self._task = None


@asynccontextmanager
async def bare_process(role: str, settings: Mapping[str, str]) -> AsyncIterator[str]:
    """One of the two, as a process; the first line that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.floor", role),
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


class Dialer:
    """Makes so many calls, `limit` at a time, one for each slot that comes free."""

    def __init__(self, pool: Any, connection: Any, http: aiohttp.ClientSession) -> None:
        self._pool, self._redis, self._http = pool, connection, http
        self._swap = connection.register_script(SWAP)
        self._left = int(os.environ["CALLS"])
        self._batched = bool(os.environ.get("BATCHED"))
        self._waiting: list[tuple[UUID, int, str]] = []
        self._is_writing = False
        self._account, self._callbacks = os.environ["ACCOUNT"], os.environ["CALLBACKS"]
        self._creates = f"{os.environ['CARRIER']}/2010-04-01/Accounts/{self._account}/Calls.json"
        secret = base64.b64encode(f"{self._account}:{os.environ['TOKEN']}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/x-www-form-urlencoded"}

    async def run(self, limit: int) -> None:
        """Until all calls were made."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as heard, asyncio.TaskGroup() as group:
            await heard.subscribe(CHANNEL)
            for slot in range(1, limit + 1):
                self._take(group, slot)
            async for message in heard.listen():
                if self._left <= 0:
                    return
                self._take(group, int(message["data"]))

    def _take(self, group: asyncio.TaskGroup, slot: int) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        call = (uuid4(), slot, f"+1212{2000000 + self._left}")
        if not self._batched:
            group.create_task(self._dial(group, [call]))
            return
        self._waiting.append(call)
        if len(self._waiting) == 1 and not self._is_writing:
            group.create_task(self._dial_waiting(group))

    async def _dial_waiting(self, group: asyncio.TaskGroup) -> None:
        self._is_writing = True
        await asyncio.sleep(BATCH_SECONDS)
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_IN_A_BATCH], self._waiting[MOST_IN_A_BATCH:]
            await self._dial(group, batch)
        self._is_writing = False

    async def _dial(self, group: asyncio.TaskGroup, calls: list[tuple[UUID, int, str]]) -> None:
        await self._swap(keys=[SLOTS], args=[slot for _, slot, _ in calls])
        if self._batched:
            await self._pool.execute(WRITE_INTENTS, *([*column] for column in zip(*calls, strict=True)))
        else:
            await self._pool.execute(WRITE_INTENT, *calls[0])
        for attempt, _, phone in calls:
            group.create_task(self._create(attempt, phone))

    async def _create(self, attempt: UUID, phone: str) -> None:
        callback = quote(f"{self._callbacks}/webhook/call_status?attempt={attempt}", safe="")
        events = "".join(f"&StatusCallbackEvent={e}" for e in ("initiated", "ringing", "answered", "completed"))
        body = f"To=%2B{phone[1:]}&From=%2B15005550006&Twiml=%3CResponse%2F%3E&StatusCallback={callback}{events}"
        async with self._http.post(self._creates, data=body, headers=self._headers) as answer:
            await answer.read()
            answer.raise_for_status()


async def dialer() -> None:
    """Says that it begins, makes the calls, and waits to be ended."""
    pool: Any = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=4, reset=_keep)
    connection = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
    print("ready", flush=True)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as http:
        await Dialer(pool, connection, http).run(int(os.environ["LIMIT"]))
        await asyncio.Event().wait()


async def _keep(_connection: Any) -> None:
    """No reset: it would cost a round trip."""


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


if __name__ == "__main__":
    uvloop.run({"control": control, "dialer": dialer}[sys.argv[1]]())
