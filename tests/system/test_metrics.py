"""What real runs leave in the figures."""

from __future__ import annotations

import signal

from simulator import INSTANT
from tests.cli.running import dialer
from tests.support.prometheus import Scraped
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import Stack, numbers


async def scrape(system: Stack) -> Scraped:
    async with system.http.get(system.url + "/metrics") as answer:
        assert answer.status == 200
        return Scraped.of(await answer.text())


async def test_a_run_is_counted_and_each_hand_over_timed(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.1})) as system:
        daemon = await system.daemon()
        run = await system.start(await system.business(limit=3), [*numbers(2, last_two=98), *numbers(10)])
        shown = await system.ended(run)
        assert (shown["completed"], shown["failed"]) == (10, 2)

        async def counted() -> Scraped | None:
            found = await scrape(system)
            return found if found.total("dialer_calls_total") == 12 else None

        # The daemon's figures follow within five beats.
        figures = await eventually(counted, timeout=10)
        assert figures is not None
        assert figures.by("verdict", "dialer_intents_total")["written"] == 12
        assert figures.by("outcome", "dialer_create_answers_total") == {"placed": 10, "refused": 2}
        assert figures.by("disposition", "dialer_calls_total") == {"answered": 10, "invalid_number": 2}
        assert figures.by("how", "dialer_runs_claimed_total") == {"first": 1}
        assert figures.total("dialer_callbacks_total", result="taken") == 40
        # The first three had free slots, two more those of the refused: all others waited for a call to end.
        handed = figures.total("dialer_handoff_seconds_count")
        assert handed == 12 - 3 - 2
        assert 0 < figures.total("dialer_handoff_seconds_sum") < 5 * handed
        assert figures.total("dialer_beat_interval_seconds_count") > 0
        assert figures.total("dialer_live_calls") == 0
        assert figures.total("dialer_call_limit") == 3
        assert figures.total("dialer_daemons_live") == 1
        assert figures.values("dialer_redis_degraded") == [0]

        daemon.send(signal.SIGTERM)
        assert await daemon.ends() == 0
        left = await scrape(system)
        assert left.values("dialer_daemons_live") == [0]
        assert left.values("dialer_redis_degraded") == []
        assert left.by("outcome", "dialer_create_answers_total") == {"placed": 10, "refused": 2}


async def test_a_take_over_is_counted_and_the_killed_daemon_seen_no_more(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"digits_decide": False})) as system:
        system.sim.everybody("stuck")
        killed = await system.daemon()
        run = await system.start(await system.business(limit=1), list(numbers(2)))
        await system.sim.wait_for(lambda: system.sim.ledger.live_now == 1)
        killed.send(signal.SIGKILL)
        await killed.ends()
        await system.daemon()

        async def taken_over() -> Scraped | None:
            found = await scrape(system)
            return found if found.total("dialer_runs_claimed_total", how="taken_over") == 1 else None

        figures = await eventually(taken_over, timeout=10)
        assert figures is not None
        assert figures.values("dialer_daemons_live") == [1]
        # It cannot have told more than its first beats, but what it told stays.
        assert len(figures.values("dialer_beat_interval_seconds_count")) == 2
        assert figures.total("dialer_live_calls", state="live") == 1
        await system.ask("POST", f"/api/runs/{run}/stop")


async def test_a_worker_is_probed_without_http(make_stack: MakeStack) -> None:
    async with make_stack() as system:

        async def alive() -> bool:
            said = await dialer("healthcheck", more=system.environment, SERVICE_ROLE="worker")
            assert said.code == 0 or "daemon" in said.err, said.err
            return said.code == 0

        async def dead() -> bool:
            return not await alive()

        assert await dead()
        daemon = await system.daemon()
        await eventually(alive, timeout=10)
        daemon.send(signal.SIGSTOP)
        await eventually(dead, timeout=10)
        daemon.send(signal.SIGCONT)
        await eventually(alive, timeout=10)
