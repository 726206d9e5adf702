"""A run of calls on a cluster, behind Sentinel and behind TLS, with the Redis that keeps its slots killed meanwhile."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from dialer.edges.redis_client import open_redis
from simulator import INSTANT
from tests.support.redises import SLOTS, Cluster, Valkey, cluster, held_slots, watched
from tests.support.secured import secured
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import Process, Stack, numbers

LIMIT = 3
LAST_OF_THE_FIRST = -(-SLOTS // 3) - 1
CARRIER = INSTANT.changed({"talk_seconds": 0.3, "digits_decide": False})


async def start_runs(system: Stack, businesses: list[int], jobs: int) -> list[int]:
    phones = list(numbers(len(businesses) * jobs))
    return [
        await system.start(business, phones[n * jobs : (n + 1) * jobs]) for n, business in enumerate(businesses)
    ]


async def dials_on(system: Stack, more: int, within: float) -> None:
    arrivals = system.sim.ledger.arrivals
    wanted = len(arrivals) + more
    assert await system.sim.wait_for(lambda: len(arrivals) >= wanted, within), f"{len(arrivals)} of {wanted}"


async def all_well(system: Stack, runs: list[int], jobs: int, redis_url: str) -> None:
    """Every job was called once, no business above its limit, and Redis shows nothing of it any more."""
    for run in runs:
        shown = await system.ended(run, timeout=60)
        assert (shown["status"], shown["completed"]) == ("completed", jobs)
    await system.check(*runs)
    assert system.sim.ledger.most_live() <= LIMIT * len(runs)
    assert set(system.sim.ledger.calls_per_number().values()) == {1}
    async with aclosing(open_redis(redis_url, 2.0)) as redis:

        async def none_held() -> bool:
            return not any((await held_slots(redis)).values())

        await eventually(none_held, timeout=10)


async def away_and_back(system: Stack, daemons: list[Process]) -> None:
    """Those who lost their Redis say so, dial on without, and say that they have it again."""
    await eventually(lambda: any(d.events("REDIS_AWAY") for d in daemons), timeout=10)
    await dials_on(system, 5, within=10)
    await eventually(
        lambda: all(bool(d.events("REDIS_AWAY")) <= bool(d.events("REDIS_BACK")) for d in daemons), timeout=30
    )
    await system.is_ready()


async def test_a_run_over_tls(make_stack: MakeStack, redis_url: str, tmp_path: Path) -> None:
    async with secured(redis_url, tmp_path) as made, make_stack(CARRIER, REDIS_URL=made.url) as system:
        daemon = await system.daemon()
        await all_well(system, await start_runs(system, [await system.business(limit=LIMIT)], 12), 12, made.url)
        assert daemon.events("REDIS_AWAY") == []


async def test_a_run_goes_on_through_a_fail_over_of_sentinel(make_stack: MakeStack, tmp_path: Path) -> None:
    async with watched(tmp_path) as made, make_stack(CARRIER, REDIS_URL=made.url) as system:
        businesses = [await system.business(limit=LIMIT) for _ in range(3)]
        await _through_a_fail_over(system, businesses, made.master, made.url)


async def test_a_run_goes_on_through_a_fail_over_in_a_cluster(make_stack: MakeStack, tmp_path: Path) -> None:
    async with cluster(tmp_path, replica=True) as made, make_stack(CARRIER, REDIS_URL=made.url) as system:
        businesses = await _some_at_the_first_node(system, made)
        await _through_a_fail_over(system, businesses, made.nodes[0], made.url)


async def _some_at_the_first_node(system: Stack, made: Cluster) -> list[int]:
    """Three businesses: by the hash of their keys the first is kept by the first node, and another is not."""
    namespace = await system.db.fetchval("SELECT id FROM installation")
    there: dict[bool, list[int]] = {True: [], False: []}
    while not (there[True] and there[False] and len(there[True] + there[False]) > 2):
        business = await system.business(limit=LIMIT)
        number = await made.nodes[0].asked("CLUSTER KEYSLOT", f"{{{namespace}:{business}}}")
        there[number <= LAST_OF_THE_FIRST].append(business)
    return [there[True][0], there[False][0], (there[True][1:] + there[False][1:])[0]]


async def _through_a_fail_over(system: Stack, businesses: list[int], killed: Valkey, redis_url: str) -> None:
    daemons = [await system.daemon(), await system.daemon()]
    runs = await start_runs(system, businesses, 40)
    await dials_on(system, 10, within=10)
    killed.kill()
    await away_and_back(system, daemons)
    await all_well(system, runs, 40, redis_url)
