"""Daemons frozen, stopped or killed, control killed, the carrier gone: no call twice, none lost, it goes on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from typing import Any

import pytest

from tests.support.waiting import eventually
from tests.system.conftest import MakeProxied
from tests.system.proxied import CHATTY, SETTLE_SOON, SHORT, Proxied
from tests.system.quiet import slots_are_free
from tests.system.spoiling import Spoil, freeze, swallow_answers
from tests.system.stack import Process, numbers

LIMIT = 3
SLOW_CALLS = CHATTY.changed({"talk_seconds": 0.4})


async def well_in_the_end(p: Proxied, runs: list[int], redis: Any, *, unknown: int = 0) -> None:
    """Every job was answered, but those (at most so many) that nobody can know of."""
    for run in runs:
        shown = await p.system.ended(run, timeout=60)
        assert shown["status"] == "completed", shown
        assert shown["completed"] + shown["dispositions"].get("unknown", 0) == shown["total"], shown
        assert shown["dispositions"].get("unknown", 0) <= unknown, shown
    await slots_are_free(p.system, redis)
    await p.system.check(*runs, limit=LIMIT)


# -- the carrier ------------------------------------------------------------------------------------------


async def test_a_carrier_that_is_gone_for_a_while_is_waited_for(make_proxied: MakeProxied, redis: Any) -> None:
    async with make_proxied(**SETTLE_SOON) as p:
        daemon = await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(20)), **SHORT)
        await p.dials_on()
        await p.carrier.refuse()
        before = p.creates
        # Those that were on the way together, one at least, then a probe at a time: after a half, one, two seconds ...
        await eventually(lambda: len(daemon.events("CALL_NOT_PROCESSED")) >= LIMIT + 1, timeout=25)
        asked, began = len(daemon.events("CALL_NOT_PROCESSED")), time.monotonic()
        await eventually(lambda: time.monotonic() > began + 2)
        assert len(daemon.events("CALL_NOT_PROCESSED")) - asked <= 3
        assert p.creates == before
        await p.carrier.pass_all()
        await p.dials_on(within=8)
        # A request that was on the wire may have got lost there.
        await well_in_the_end(p, [run], redis, unknown=LIMIT)


async def test_a_slow_carrier_only_takes_longer(make_proxied: MakeProxied, redis: Any) -> None:
    async with make_proxied() as p:
        await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(9)))
        p.carrier.delay(0.3)
        await p.dials_on()
        await well_in_the_end(p, [run], redis)


async def test_a_storm_of_5xx_closes_the_gate_and_it_opens_again(make_proxied: MakeProxied, redis: Any) -> None:
    async with make_proxied(CHATTY, **SETTLE_SOON) as p:
        sim = p.system.sim
        await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(24)), **SHORT)
        await p.dials_on()
        before = p.creates
        sim.misbehave("create", "error", status=503, times=None)
        await p.dials_on(LIMIT)
        struck = time.monotonic()
        await eventually(lambda: time.monotonic() > struck + 1.5)
        assert p.creates == before + LIMIT, "three in a row are enough"
        sim.faults.clear()
        await p.dials_on(within=10)
        await well_in_the_end(p, [run], redis, unknown=LIMIT)


# -- daemons ----------------------------------------------------------------------------------------------


async def test_a_daemon_that_wakes_up_after_its_lease_places_no_call(
    make_proxied: MakeProxied, redis: Any
) -> None:
    async with make_proxied(SLOW_CALLS, **SETTLE_SOON) as p:
        sim, db = p.system.sim, p.system.db
        sleeper = await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(24)), **SHORT)
        await p.dials_on()
        # One create is under way: what comes of it is a fact, whoever tells it.
        sim.misbehave("create", "slow", seconds=0.5, accept=True)
        await p.dials_on(1)
        sleeper.send(signal.SIGSTOP)
        other = await p.system.daemon()
        await eventually(lambda: other.events("RUN_RESUMED"), timeout=8)
        taken_at = await db.fetchval("SELECT lock_ts FROM outbound_call_runs WHERE id = $1", run)
        await p.dials_on()
        sleeper.send(signal.SIGCONT)
        await eventually(lambda: sleeper.events("RUN_LEFT", "RUN_COMPLETED"))
        # An intent of its that was not sent yet may have been given up as unknown while it slept.
        await well_in_the_end(p, [run], redis, unknown=LIMIT)
        # Nothing was written, and nothing sent, under the old epoch since somebody else had the run.
        old = await db.fetch(
            """SELECT a.id, a.created_at > $2 AS late FROM outbound_call_attempts a
               WHERE a.lease_epoch < (SELECT max(lease_epoch) FROM outbound_call_attempts) AND a.run_id = $1""",
            run,
            taken_at,
        )
        assert old
        assert [r["id"] for r in old if r["late"]] == []
        epochs = {str(r["id"]) for r in old}
        order = [a.attempt in epochs for a in sorted(sim.ledger.arrivals, key=lambda a: a.at)]
        assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("spoil", [freeze, swallow_answers], ids=lambda s: str(s.__name__))
async def test_sigterm_with_postgres_silent_is_obeyed_within_ten_seconds(
    make_proxied: MakeProxied, redis: Any, spoil: Spoil
) -> None:
    async with make_proxied(SLOW_CALLS, **SETTLE_SOON) as p:
        first = await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(15)), **SHORT)
        await p.dials_on()
        await spoil(p.postgres)
        # Every loop waits for an answer by now.
        await eventually(lambda: first.events("BEAT_FAILED"))
        first.send(signal.SIGTERM)
        assert await first.ends(timeout=10) == 0
        await p.postgres.pass_all()
        await p.system.daemon()
        await p.dials_on(within=8)
        await well_in_the_end(p, [run], redis, unknown=LIMIT)


async def test_a_hand_over_does_not_wait_for_another_runs_create(make_proxied: MakeProxied, redis: Any) -> None:
    async with make_proxied(SLOW_CALLS) as p:
        sim = p.system.sim
        first = await p.system.daemon()
        held_up, *phones = numbers(31)
        sim.misbehave("create", "slow", seconds=6, accept="late", to=held_up)
        slow = await p.system.start(await p.system.business(limit=LIMIT), [held_up])
        await sim.wait_for(lambda: p.creates == 1)
        quick = await p.system.start(await p.system.business(limit=LIMIT), phones)
        await p.dials_on()
        second = await p.system.daemon()
        asked = time.monotonic()
        first.send(signal.SIGTERM)
        await eventually(lambda: quick in {e["run_id"] for e in second.events("RUN_RESUMED")}, timeout=2)
        await p.dials_on(within=2)
        assert time.monotonic() - asked < 3
        assert first.popen.poll() is None, "it waits for its create all the same"
        assert await first.ends(timeout=10) == 0
        for run in (slow, quick):
            assert (await p.system.ended(run))["completed"] == (1 if run == slow else 30)
        await slots_are_free(p.system, redis)
        await p.system.check(slow, quick)


# -- everything -------------------------------------------------------------------------------------------


async def test_processes_killed_at_random_moments(make_proxied: MakeProxied, redis: Any) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    async with make_proxied(SLOW_CALLS.changed({"callback_jitter_seconds": 0.1}), **SETTLE_SOON) as p:
        daemons = [await p.system.daemon(), await p.system.daemon()]
        business, phones = await p.system.business(limit=LIMIT), list(numbers(60))
        runs = [await p.system.start(business, part, **SHORT) for part in (phones[:30], phones[30:])]
        kills = 0
        until = time.monotonic() + 10
        while time.monotonic() < until:
            await asyncio.sleep(chance.uniform(0.3, 2.0))  # the moment itself is what is tried
            if chance.random() < 0.3:
                await kill_control(p)
            else:
                daemons.append(await replace(p, daemons.pop(chance.randrange(len(daemons)))))
            kills += 1
        # A create that was on its way at a kill may be unknown for ever: at most those of one daemon a kill.
        await well_in_the_end(p, runs, redis, unknown=kills * LIMIT)


async def replace(p: Proxied, daemon: Process) -> Process:
    daemon.send(signal.SIGKILL)
    await daemon.ends()
    return p.system.spawn("dialer")


async def kill_control(p: Proxied) -> None:
    assert p.system.control is not None
    p.system.control.send(signal.SIGKILL)
    await p.system.control.ends()
    p.system.control = p.system.spawn("control", CONTROL_PORT=p.system.url.rpartition(":")[2])
    await p.system.control.started()
