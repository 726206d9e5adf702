"""The tools of the tests, since a tool that lies makes every test lie."""

from __future__ import annotations

import os
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.support.environment import isolate
from tests.support.waiting import eventually, eventually_sync


async def test_eventually_returns_the_first_true_value() -> None:
    values = iter([0, None, "", 3, 4])
    assert await eventually(lambda: next(values), interval=0) == 3


async def test_eventually_awaits_a_predicate_that_is_async() -> None:
    values = iter([0, 3])

    async def look() -> int:
        return next(values)

    assert await eventually(look, interval=0) == 3


async def test_eventually_tells_what_did_not_come_true() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.02 s: .*len\(\[\]\).*last seen: 0"):
        await eventually(lambda: len([]), timeout=0.02)
    with pytest.raises(AssertionError, match=r"not within 0\.02 s: the moon is blue"):
        await eventually(lambda: False, timeout=0.02, description="the moon is blue")


async def test_an_assertion_inside_the_predicate_is_not_yet() -> None:
    looks = []

    def look() -> bool:
        looks.append(1)
        assert len(looks) > 2, "too few"
        return True

    assert await eventually(look, interval=0) is True


async def test_another_error_of_the_predicate_comes_out_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 / 0)


def test_eventually_sync_does_the_same() -> None:
    values = iter([0, 3])
    assert eventually_sync(lambda: next(values), interval=0) == 3
    with pytest.raises(AssertionError, match="not within"):
        eventually_sync(lambda: None, timeout=0.02)


async def test_every_database_is_fresh_and_another_installation(
    database: str, pool: asyncpg.Pool, databases: Any
) -> None:
    other = databases.create_migrated()
    connection = await asyncpg.connect(other)
    try:
        theirs = await connection.fetchval("SELECT id FROM installation")
    finally:
        await connection.close()
        databases.drop(other)
    assert other != database
    assert await pool.fetchval("SELECT id FROM installation") != theirs


@pytest.mark.parametrize("time", ["first", "second"])
async def test_redis_is_emptied_for_each_test(redis: Redis, time: str) -> None:
    assert await redis.get("left-over") is None
    await redis.set("left-over", time)


def test_no_setting_of_the_developer_is_seen() -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN", "DIALER_ADMIN_TOKEN", "PGPASSWORD"):
        assert name not in os.environ


def test_isolation_keeps_the_two_addresses_for_the_fixtures_alone() -> None:
    environ = {
        "DATABASE_URL": "postgresql://x",
        "TWILIO_AUTH_TOKEN_FILE": "/secret",
        "STALE_AFTER_SECONDS": "1",
        "METRICS_TOKEN": "t",
        "HOME": "/home/me",
    }
    isolate(environ)
    assert environ == {"HOME": "/home/me", "TESTS_DATABASE_URL": "postgresql://x"}
