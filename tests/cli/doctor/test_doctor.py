"""`dialer doctor` on real servers: every fault that is planted is found and explained, and nothing else is said."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from redis.asyncio import Redis

import sql
from dialer import config
from dialer.cli.doctor.callbacks import look as look_at_callbacks
from dialer.cli.doctor.findings import Level
from dialer.cli.doctor.view import View
from dialer.cli.slots import businesses_in_view, opened
from tests.cli.doctor.clinic import Clinic
from tests.cli.running import dialer
from tests.support.runs import add_business, add_run

WARN, FAIL = Level.WARN, Level.FAIL
# Nobody listens there.
NOBODY = "http://127.0.0.1:1"


async def healthy(clinic: Clinic) -> None:
    trouble = await clinic.trouble()
    # The servers of the tests are fast rather than safe, which is said.
    assert trouble.pop("postgres", (WARN, "fsync=off"))[0] is WARN
    assert trouble == {}


async def only(clinic: Clinic, check: str, clock: Any = time.time, **others: str) -> tuple[Level, str]:
    """What is said of this check, and that nothing is said of others."""
    trouble = await clinic.trouble(clock, **others)
    if check != "postgres":
        trouble.pop("postgres", None)
    assert set(trouble) == {check}, trouble
    return trouble[check]


async def test_an_installation_in_order_as_the_command_shows_it(clinic: Clinic) -> None:
    await healthy(clinic)
    said = await dialer("doctor", more=clinic.environment)
    assert said.code == 0, said.out
    assert "OK    callback round trip" in said.out
    assert "\x1b" not in said.out
    assert said.err.startswith("0 FAIL, ")
    broken = {**clinic.environment, "REDIS_URL": "redis://:geheim@127.0.0.1:1/0", "TWILIO_AUTH_TOKEN": "verraten"}
    said = await dialer("doctor", "--json", more=broken)
    assert said.code == 1
    report = json.loads(said.out)
    assert (report["verdict"], report["left_out"]) == ("FAIL", {"slots": ["redis"]})
    failed = {one["check"]: one for one in report["checks"] if one["level"] == "FAIL"}
    assert set(failed) == {"redis", "carrier account", "callback round trip"}
    assert all(one["advice"] for one in failed.values())
    for secret in ("geheim", "verraten", clinic.environment["DIALER_ADMIN_TOKEN"]):
        assert secret not in said.out + said.err


async def test_settings(clinic: Clinic) -> None:
    level, said = await only(clinic, "settings", DIALER_ADMIN_TOKEN="")
    assert (level, "DIALER_ADMIN_TOKEN" in said) == (FAIL, True)
    told = await dialer("doctor", more={**clinic.environment, "CONTROL_PORT": "x", "LOG_LEVEL": "LOUD"})
    assert (told.code, told.out.count("CONTROL_PORT"), told.out.count("LOG_LEVEL")) == (1, 1, 1)


async def test_postgres(clinic: Clinic) -> None:
    dsn = clinic.environment["DATABASE_URL"]
    away = await clinic.trouble(DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert away["postgres"][0] is FAIL
    assert "nobody listens there" in away["postgres"][1]
    name = dsn.partition("?")[0].rpartition("/")[2]
    missing = await clinic.trouble(DATABASE_URL=dsn.replace(name, "no_such_database"))
    assert "create it, then run `dialer migrate`" in missing["postgres"][1]
    await clinic.pool.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert "to the primary, not to a standby" in (await clinic.trouble())["postgres"][1]


async def test_the_schema(clinic: Clinic) -> None:
    await clinic.pool.execute(
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)"
    )
    level, said = await only(clinic, "schema")
    assert (level, "run `dialer migrate`" in said) == (FAIL, True)


async def test_redis(clinic: Clinic, redis: Redis) -> None:
    before = (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] or ""
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        level, said = await only(clinic, "redis policy")
    finally:
        await redis.config_set("maxmemory-policy", before)
    assert (level, "maxmemory-policy noeviction" in said) == (FAIL, True)


async def test_clocks(clinic: Clinic) -> None:
    trouble = await clinic.trouble(lambda: time.time() - 40)
    assert trouble["clocks: postgres"][0] is FAIL
    assert "40.0 s ahead" in trouble["clocks: postgres"][1]
    assert trouble["clocks: redis"][0] is WARN


async def test_the_account_and_its_numbers(clinic: Clinic) -> None:
    sim = clinic.sim
    sim.change(account_type="Trial")
    assert (await only(clinic, "carrier account"))[0] is WARN
    sim.change(account_type="Full", account_status="suspended")
    assert "it is suspended" in (await only(clinic, "carrier account"))[1]
    sim.change(account_status="active")
    sim.misbehave("account", "error", status=503)
    assert "HTTP 503" in (await only(clinic, "carrier account"))[1]
    business = await add_business(clinic.pool)
    await clinic.pool.execute("UPDATE businesses SET from_number = '+972501234567' WHERE id = $1", business)
    level, said = await only(clinic, "caller IDs")
    assert level is FAIL
    assert f"+972*******67 (business {business})" in said
    sim.change(verified_numbers=["+972501234567"])
    await healthy(clinic)


async def test_callbacks(clinic: Clinic) -> None:
    url = clinic.environment["PUBLIC_BASE_URL"]
    nobody = (await only(clinic, "callback round trip", PUBLIC_BASE_URL=NOBODY))[1]
    assert "is control running" in nobody
    elsewhere = (await only(clinic, "callback round trip", PUBLIC_BASE_URL=f"{url}/elsewhere"))[1]
    assert "is not control (HTTP 404)" in elsewhere
    another = (await only(clinic, "callback round trip", PUBLIC_BASE_URL=url.replace("127.0.0.1", "localhost")))[1]
    assert "same TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL" in another
    async with redirecting(url) as there:
        assert "redirects (HTTP 301)" in (await only(clinic, "callback round trip", PUBLIC_BASE_URL=there))[1]
    # The carrier itself is not asked here.
    real = config.load({**clinic.environment, "TWILIO_API_BASE_URL": "https://api.twilio.com"})
    hidden, _ = await look_at_callbacks(View(real, time.time))
    assert (hidden.level, "the carrier cannot reach" in hidden.found) == (FAIL, True)
    assert await clinic.pool.fetchval("SELECT count(*) FROM orphan_callbacks") == 0, "knocking leaves no trace"


async def test_a_password_in_an_address_is_not_shown(clinic: Clinic) -> None:
    there = "http://joe:geheim@127.0.0.1:1"
    found = await clinic.found(PUBLIC_BASE_URL=there, TWILIO_API_BASE_URL=there)
    said = [found[check] for check in ("carrier account", "callback URL", "callback round trip")]
    assert all("********@127.0.0.1:1" in f"{one.found} {one.advice}" for one in said)
    assert "geheim" not in str(found)


async def test_connections(clinic: Clinic) -> None:
    await clinic.pool.execute(
        """INSERT INTO dialer_daemons (id, host, pid, last_seen_at)
           SELECT gen_random_uuid(), 'many', n, now() + interval '1 hour' FROM generate_series(1, 500) AS n"""
    )
    level, said = await only(clinic, "connections")
    assert (level, "PgBouncer" in said) == (FAIL, True)


async def test_daemons(clinic: Clinic) -> None:
    await clinic.pool.execute("UPDATE dialer_daemons SET redis_degraded = true")
    level, said = await only(clinic, "daemons")
    assert (level, "without Redis: test/1" in said) == (WARN, True)
    await clinic.pool.execute("UPDATE dialer_daemons SET ended_at = now()")
    assert "SERVICE_ROLE=worker" in (await only(clinic, "daemons"))[1]


async def test_work_that_does_not_go_on(clinic: Clinic) -> None:
    business = await add_business(clinic.pool)
    run = await add_run(clinic.pool, business, 3)
    await clinic.pool.execute("UPDATE outbound_call_runs SET created_at = now() - interval '10 minutes'")
    level, said = await only(clinic, "waiting jobs")
    assert (level, "no call is being placed" in said) == (FAIL, True)
    await clinic.pool.execute("UPDATE outbound_call_runs SET last_error = 'the account is suspended (20005)'")
    assert "runs say: the account is suspended (20005)" in (await only(clinic, "waiting jobs"))[1]
    await clinic.pool.execute("UPDATE outbound_call_runs SET last_error = NULL")
    await clinic.worker.claim()
    (intent,) = await clinic.worker.intend(run.run_id, [1])
    await reconciled(clinic)
    await healthy(clinic)
    await clinic.pool.execute(sql.query("doubt_attempt"), intent["attempt_id"], None, "no answer")
    level, said = await only(clinic, "unknown attempts")
    assert (level, "nothing is called twice" in said) == (WARN, True)
    await clinic.pool.execute("UPDATE outbound_call_attempts SET created_at = now() - interval '2 hours'")
    assert (await only(clinic, "unknown attempts"))[0] is FAIL
    await clinic.pool.execute("DELETE FROM outbound_call_attempts")
    await reconciled(clinic)
    await clinic.pool.execute("UPDATE outbound_call_runs SET last_heartbeat_at = now() - interval '31 seconds'")
    trouble = await clinic.trouble()
    assert trouble["stale runs"][0] is FAIL
    assert f"heartbeat: {run.run_id} " in trouble["stale runs"][1]


async def test_slots(clinic: Clinic, redis: Redis) -> None:
    namespace = str(await clinic.pool.fetchval(sql.query("installation")))
    lasting, passing = [await add_business(clinic.pool) for _ in range(2)]
    keys = {business: f"dialer:{{{namespace}:{business}}}:held" for business in (lasting, passing)}
    for key in keys.values():
        await redis.hset(key, mapping={"generation": "old", "2": f"{uuid4()}|1000|0"})
    looking = asyncio.create_task(only(clinic, "slots"))
    # A hint that comes late: a daemon gives the slot back between the two looks.
    await asyncio.sleep(1.0)
    await redis.hdel(keys[passing], "2")
    level, said = await looking
    assert level is WARN
    assert f"2 held; drifted: 1 left behind (business {lasting})" in said
    assert "dialer slots reconcile" in said


async def test_disks(clinic: Clinic, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    level, said = await only(clinic, "disk: recordings", RECORDINGS_DIR=str(tmp_path / "file" / "below"))
    assert (level, "a file" in said) == (FAIL, True)


async def reconciled(clinic: Clinic) -> None:
    async with opened(config.load(clinic.environment)) as (inspection, held):
        async for business, read_ms in businesses_in_view(inspection, held):
            await held.reconcile(business, read_ms, grace_ms=0)


@asynccontextmanager
async def redirecting(target: str) -> AsyncIterator[str]:
    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMovedPermanently(target + request.path_qs)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", away)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
