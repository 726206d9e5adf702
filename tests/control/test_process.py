"""`python -m control` as a process: its settings, its start, its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from twilio.request_validator import RequestValidator

from tests.control.house import AUTH_TOKEN, OPERATOR, TWIML, news, sid
from tests.support.runs import Worker
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


async def _started(**settings: str) -> asyncio.subprocess.Process:
    environment = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "COVERAGE_PROCESS_START")
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control"),
        cwd=ROOT,
        env={**environment, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def _settings(database: str, redis_url: str, **others: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "DIALER_ADMIN_TOKEN": OPERATOR,
        "TWILIO_FROM_NUMBER": "+15005550006",
        "CONTROL_PORT": "0",
        **others,
    }


@asynccontextmanager
async def _running(**settings: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its URL; it is stopped, and must end well, at the end."""
    process = await _started(**settings)
    try:
        yield process, await asyncio.wait_for(_url(process), 20)
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, said) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        entry = json.loads(line)
        if entry["event"] == "STARTUP":
            url: str = entry["url"]
            return url
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    async def is_ready() -> bool:
        async with session.get(f"{url}/readyz") as response:
            return response.status == 200

    await eventually(is_ready)


async def test_every_fault_of_the_settings_is_told_before_anything_starts() -> None:
    process = await _started(CONTROL_PORT="x", REDIS_URL="http://secret")
    said, complaint = await process.communicate()
    assert process.returncode == 2
    assert said == b""
    for name in ("CONTROL_PORT", "REDIS_URL", "DATABASE_URL", "TWILIO_AUTH_TOKEN", "DIALER_ADMIN_TOKEN"):
        assert name.encode() in complaint
    assert b"secret" not in complaint


async def test_a_call_from_start_to_end_and_a_clean_stop(empty_database: str, redis_url: str) -> None:
    """Callback URLs without PUBLIC_BASE_URL start with the address that was really bound."""
    settings = _settings(empty_database, redis_url, RUN_MIGRATIONS="1")
    async with aiohttp.ClientSession() as session, _running(**settings) as (_, url):
        await _ready(session, url)
        authorized = {"Authorization": f"Bearer {OPERATOR}"}
        async with session.post(f"{url}/api/businesses", json={"name": "x"}, headers=authorized) as made:
            business_id = (await made.json())["business_id"]
        body = {"business_id": business_id, "leads": [{"phone": "+972501234567"}], "twiml": TWIML}
        async with session.post(f"{url}/api/runs", json=body, headers=authorized) as started:
            run_id = (await started.json())["run_id"]
        async with asyncpg.create_pool(empty_database, min_size=1) as pool:
            worker = await Worker.join(pool)
            await worker.claim()
            (intent,) = await worker.intend(run_id, [1])
        fields, address = news(sid(), 3, "busy"), f"{url}/webhook/call_status?attempt={intent['attempt_id']}"
        headers = {"X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(address, fields)}
        async with session.post(address, data=fields, headers=headers) as taken:
            assert taken.status == 204
        async with session.get(f"{url}/api/runs/{run_id}", headers=authorized) as shown:
            assert (await shown.json())["status"] == "completed"


async def test_it_stops_in_time_with_everything_away() -> None:
    nowhere = _settings("postgresql://nobody@127.0.0.1:1/nothing", "unix:///nowhere/redis.sock")
    async with aiohttp.ClientSession() as session, _running(**nowhere) as (_, url):
        async with session.get(f"{url}/livez") as alive:
            assert alive.status == 200
        async with session.get(f"{url}/readyz") as ready:
            assert ready.status == 503


async def test_a_database_of_somebody_else_ends_it(empty_database: str, redis_url: str) -> None:
    connection: Any = await asyncpg.connect(empty_database)
    await connection.execute("CREATE TABLE businesses (id int)")
    await connection.close()
    process = await _started(**_settings(empty_database, redis_url, RUN_MIGRATIONS="1"))
    _, complaint = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"businesses" in complaint


async def test_an_address_that_is_taken_ends_it(database: str, redis_url: str) -> None:
    async with _running(**_settings(database, redis_url)) as (_, url):
        process = await _started(**_settings(database, redis_url, CONTROL_PORT=url.rpartition(":")[2]))
        _, complaint = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 1
        assert b"in use" in complaint
