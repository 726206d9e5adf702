"""Connections at hand: lent again as they are, never when they are broken or old, and never kept from who waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from dialer.lender import KEEP, RETURN_WITHIN_SECONDS, Lender, NoneFree
from tests.support.proxy import proxy_before
from tests.support.waiting import eventually

PID = "SELECT pg_backend_pid()"


@pytest_asyncio.fixture
async def small(database: str) -> AsyncIterator[Any]:
    """A pool of two connections. A test that keeps one fails at the end."""
    opened = await asyncpg.create_pool(database, min_size=0, max_size=2, command_timeout=10)
    yield opened
    try:
        await asyncio.wait_for(opened.close(), 5)
    finally:
        opened.terminate()


async def pid(lender: Lender) -> int:
    async with lender.connection(5) as connection:
        return int(await connection.fetchval(PID))


async def test_one_that_came_back_is_lent_again_without_the_pool(small: Any) -> None:
    lender = Lender(small)
    first = await pid(lender)
    assert await pid(lender) == first
    assert small.get_idle_size() == 0, "it is at hand, not in the pool"
    await lender.close()
    assert small.get_idle_size() == 1


async def test_one_whose_server_has_ended_it_is_not_lent(small: Any, pool: Any) -> None:
    lender = Lender(small)
    first = await pid(lender)
    await pool.execute("SELECT pg_terminate_backend($1)", first)
    await eventually(lambda: small.get_size() == 0)
    assert await pid(lender) != first
    await lender.close()


async def test_one_on_which_a_statement_failed_goes_to_the_pool(small: Any) -> None:
    lender = Lender(small)
    with pytest.raises(asyncpg.UndefinedTableError):
        async with lender.connection(5) as connection:
            await connection.fetch("SELECT * FROM nothing")
    assert small.get_idle_size() == 1
    await pid(lender)
    await lender.close()


async def test_one_who_is_cancelled_leaves_no_statement_behind(small: Any) -> None:
    lender = Lender(small)

    async def sleep() -> None:
        async with lender.connection(5) as connection:
            await connection.fetch("SELECT pg_sleep(60)")

    asleep = asyncio.create_task(sleep())
    await eventually(lambda: small.get_size() == 1 and small.get_idle_size() == 0)
    asleep.cancel()
    await asyncio.gather(asleep, return_exceptions=True)
    assert await asyncio.wait_for(pid(lender), 5)
    await lender.close()


async def test_those_that_are_kept_are_there_before_anybody_needs_them(small: Any) -> None:
    lender = Lender(small, keep=2)
    warmed: list[int] = []

    async def act(connection: Any) -> None:
        warmed.append(int(await connection.fetchval(PID)))

    await lender.warm(act, 5)
    assert len(set(warmed)) == 2
    assert small.get_idle_size() == 0, "they are at hand"
    async with lender.connection(5) as one, lender.connection(5) as other:
        assert {await one.fetchval(PID), await other.fetchval(PID)} == set(warmed)
    await lender.close()


async def test_when_they_cannot_be_warmed_the_pool_has_them(small: Any) -> None:
    lender = Lender(small, keep=2)
    with pytest.raises(asyncpg.UndefinedTableError):
        await lender.warm(lambda connection: connection.fetch("SELECT * FROM nothing"), 5)
    assert small.get_idle_size() == small.get_size() > 0
    assert await pid(lender)
    await lender.close()


async def test_who_waits_gets_what_comes_back(small: Any) -> None:
    lender = Lender(small)
    async with lender.connection(5), lender.connection(5):
        with pytest.raises(NoneFree):
            async with lender.connection(0.01):
                pass
        waiting = asyncio.create_task(pid(lender))
        await asyncio.sleep(0)
    assert await asyncio.wait_for(waiting, 5)
    await lender.close()


async def test_after_a_replacement_none_of_before_is_lent(small: Any) -> None:
    lender = Lender(small)
    async with lender.connection(5) as lent:
        before = {await pid(lender), int(await lent.fetchval(PID))}
        await lender.replace_all()
    assert await pid(lender) not in before
    await lender.close()


@pytest.mark.parametrize("turns", range(6))
async def test_they_may_end_while_they_are_given_back(database: str, turns: int) -> None:
    """Between any two steps of it; what a statement has brought is not lost by that either."""
    opened = await asyncpg.create_pool(database, min_size=0, max_size=4, command_timeout=10)
    lender = Lender(opened)
    async with AsyncExitStack() as stack:
        lent = [await stack.enter_async_context(lender.connection(5)) for _ in range(3)]
        pids = [int(await connection.fetchval(PID)) for connection in lent]
    # This loop stands still until all have ended, and then finds it out in the midst of giving them back.
    run_in_a_thread(end_backends(database, pids))
    for _ in range(turns):
        await asyncio.sleep(0)
    await lender.replace_all()
    assert await pid(lender) not in pids
    opened.terminate()


async def end_backends(dsn: str, pids: list[int]) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)

    async def are_gone() -> bool:
        left = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::int[])", pids)
        return int(left) == 0

    await eventually(are_gone)
    await connection.close()


def run_in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    thread = threading.Thread(target=asyncio.run, args=(work,))
    thread.start()
    thread.join()


async def test_many_that_are_dead_cost_no_more_than_one(database: str) -> None:
    """A carrier waits five seconds for its callback, and the statement that found out has cost most of them."""
    async with proxy_before(database) as proxy:
        opened = await asyncpg.create_pool(proxy.url, min_size=0, max_size=KEEP, command_timeout=10)
        lender = Lender(opened)
        async with AsyncExitStack() as stack:
            for _ in range(KEEP):
                await stack.enter_async_context(lender.connection(5))
        proxy.forget()
        async with asyncio.timeout((KEEP - 1) * RETURN_WITHIN_SECONDS):
            await lender.replace_all()
        assert await pid(lender)
        opened.terminate()


async def test_a_cancellation_is_one_though_the_server_never_confirms_it(database: str) -> None:
    async with proxy_before(database) as proxy:
        opened = await asyncpg.create_pool(proxy.url, min_size=0, max_size=1, command_timeout=10)
        lender = Lender(opened)

        async def ask() -> int:
            try:
                return await pid(lender)
            except TimeoutError:
                return 0

        assert await ask()
        proxy.freeze()
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        opened.terminate()
