"""Postgres away, frozen or killed during a run: nobody is dialed meanwhile, and then all goes on by itself."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from simulator import INSTANT
from tests.support.processes import is_stopped
from tests.support.waiting import eventually
from tests.system.conftest import MakeProxied
from tests.system.proxied import CHATTY, SETTLE_SOON, SHORT, OwnServers, Proxied, proxied, take_overs
from tests.system.quiet import slots_are_free
from tests.system.spoiling import Spoil, freeze, refuse, swallow_answers
from tests.system.stack import Process, numbers

LIMIT = 3
# A call whose callbacks are lost because control cannot store them is found by the poller.
SOON = {**SETTLE_SOON, "CARRIER_LIST_LAG_SECONDS": "2"}


async def well_in_the_end(p: Proxied, run: int, jobs: int, redis: Any) -> None:
    """Whoever was on the wire when the database went is known by now, too."""
    shown = await p.system.ended(run, timeout=40)
    assert (shown["status"], shown["dispositions"]) == ("completed", {"answered": jobs})
    await slots_are_free(p.system, redis)
    await p.system.check(run, limit=LIMIT)


async def is_over_after(p: Proxied, seconds: float) -> float:
    """Nobody is dialed for so long, but who had his intent already; returns when it began."""
    began = time.monotonic()
    await p.system.sim.wait_for(lambda: time.monotonic() > began + seconds, seconds + 1)
    late = [a.at - began for a in p.system.sim.ledger.arrivals if a.at > began + 0.5]
    assert late == []
    return began


@pytest.mark.parametrize(
    ("spoil", "seconds"),
    [(refuse, 2.0), (freeze, 1.0), (freeze, 4.0), (swallow_answers, 1.5)],
    ids=lambda x: x.__name__ if callable(x) else f"{x:g}s",
)
async def test_while_postgres_is_away_nobody_is_dialed_and_then_it_goes_on(
    make_proxied: MakeProxied, redis: Any, spoil: Spoil, seconds: float
) -> None:
    async with make_proxied(CHATTY, **SOON) as p:
        daemons = [await p.system.daemon(), await p.system.daemon()]
        business, phones = await p.system.business(limit=LIMIT), list(numbers(40))
        # Longer than Postgres is away: an attempt that was never sent is given back before it could count as unknown.
        patient = {**SHORT, "ring_timeout_seconds": 15}
        runs = [await p.system.start(business, part, **patient) for part in (phones[:20], phones[20:])]
        await p.dials_on()
        await spoil(p.postgres)
        await is_over_after(p, seconds)
        await p.postgres.pass_all()
        await p.dials_on(within=6)
        for run in runs:
            await well_in_the_end(p, run, 20, redis)
        # A lease that lapsed may change hands, once, by whoever comes first; it must not go round in circles.
        assert take_overs(daemons) <= len(runs)


async def test_connections_to_postgres_that_are_dead_without_a_word_are_found_out(
    make_proxied: MakeProxied, redis: Any
) -> None:
    """As after a fail-over: whoever waits on one is told after five seconds, and then all are replaced."""
    async with make_proxied(CHATTY, **SOON) as p:
        await p.system.daemon()
        # Longer than dead connections are waited for: what was never sent is given back before it counts as unknown.
        patient = {**SHORT, "ring_timeout_seconds": 15}
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(40)), **patient)
        for _ in range(2):
            await p.dials_on(within=10)
            p.postgres.forget()
        await p.dials_on(within=10)
        await well_in_the_end(p, run, 40, redis)


async def test_callbacks_are_asked_for_again_while_postgres_is_away(make_proxied: MakeProxied, redis: Any) -> None:
    """The carrier keeps an event for five tries; those that came too early are not lost."""
    async with make_proxied(CHATTY.changed({"callback_retry_pause_seconds": 0.8}), **SOON) as p:
        await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(12)), **SHORT)
        await p.dials_on(3)
        await p.postgres.refuse()
        deliveries = p.system.sim.ledger.deliveries
        refused = await eventually(lambda: [d for d in deliveries if d.http_status == 503])
        await p.postgres.pass_all()
        await eventually(lambda: all(d.outcome == "delivered" for d in refused), timeout=10)
        assert {d.http_status for d in refused} == {204}
        await well_in_the_end(p, run, 12, redis)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "immediate"])
async def test_a_restart_of_postgres_is_a_pause(
    killable: OwnServers, tmp_path: Path, number: signal.Signals
) -> None:
    async with proxied(killable.database, killable.redis_url, tmp_path, CHATTY, **SOON) as p:
        daemons = [await p.system.daemon(), await p.system.daemon()]
        business, phones = await p.system.business(limit=LIMIT), list(numbers(60))
        runs = [await p.system.start(business, part, **SHORT) for part in (phones[:30], phones[30:])]
        await p.dials_on()
        await killable.restart_postgres(p.system, number)
        await p.dials_on(within=6)
        assert take_overs(daemons) == 0
        async with Redis.from_url(killable.redis_url) as redis:
            for run in runs:
                await well_in_the_end(p, run, 30, redis)


async def test_an_intent_that_never_arrived_is_written_again(make_proxied: MakeProxied, redis: Any) -> None:
    async with make_proxied(CHATTY, **SOON) as p:
        daemon = await p.system.daemon(DIALER_CRASH_POINTS="intent.sent=freeze@2")
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(10)), **SHORT)
        await eventually(lambda: is_stopped(daemon.popen.pid), timeout=10)
        p.postgres.swallow()
        daemon.send(signal.SIGCONT)
        # Either is in it, as its text or as one of its parameters.
        marks = (b"write_intents", p.system.sim.settings.account_sid.encode())
        await eventually(lambda: any(mark in lost for lost in p.postgres.swallowed for mark in marks))
        await is_dialed_once(p, daemon, run, redis)
        assert await not_dialed(p) == 0


async def test_an_intent_whose_answer_was_lost_is_taken_back(
    make_proxied: MakeProxied, redis: Any, database: str
) -> None:
    async with make_proxied(CHATTY, **SOON) as p:
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(10)), **SHORT)
        blocker = await asyncpg.connect(database)
        async with blocker.transaction():
            await blocker.execute("SELECT FROM outbound_call_run_counters WHERE run_id = $1 FOR UPDATE", run)
            daemon = await p.system.daemon()
            await eventually(lambda: an_intent_waits(p))
            p.postgres.swallow(answers_only=True)
        await blocker.close()

        await eventually(lambda: p.system.db.fetchval(WRITTEN))
        await is_dialed_once(p, daemon, run, redis)
        assert await not_dialed(p) > 0


WRITTEN = "SELECT count(*) FROM outbound_call_attempts"


async def an_intent_waits(p: Proxied) -> bool:
    return bool(
        await p.system.db.fetchval(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%write_intents(%'"""
        )
    )


async def is_dialed_once(p: Proxied, daemon: Process, run: int, redis: Any) -> None:
    """The way is mended; the daemon did not know what had become of its intent, and nobody is called twice."""
    await p.postgres.pass_all()
    await eventually(lambda: daemon.events("INTENT_UNCERTAIN"))
    await well_in_the_end(p, run, 10, redis)
    assert len(p.system.sim.ledger.calls) == 10


async def not_dialed(p: Proxied) -> int:
    return int(await p.system.db.fetchval(WRITTEN + " WHERE disposition = 'not_dialed'"))


@pytest.mark.parametrize("spoil", [refuse, freeze], ids=lambda s: str(s.__name__))
async def test_both_away_at_once_with_a_rate_to_keep(make_proxied: MakeProxied, redis: Any, spoil: Spoil) -> None:
    async with make_proxied(INSTANT, TWILIO_CALLS_PER_SECOND="2", **SOON) as p:
        daemon = await p.system.daemon()
        run = await p.system.start(await p.system.business(limit=LIMIT), list(numbers(8)), **SHORT)
        await p.dials_on(2)
        for way in (p.postgres, p.redis):
            await spoil(way)
        await is_over_after(p, 1.5)
        await p.redis.pass_all()
        await p.postgres.pass_all()
        await p.dials_on(2, within=6)
        await well_in_the_end(p, run, 8, redis)
        assert daemon.events("FAULT") == []
