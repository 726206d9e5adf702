"""A daemon is asked to drain from afar: it leaves as by SIGTERM, and whoever waits knows when it is gone."""

from __future__ import annotations

import asyncio
import signal

from simulator import INSTANT
from tests.cli.running import dialer
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import TOKEN, numbers


async def test_a_drained_daemon_finishes_what_is_on_the_wire_and_another_goes_on(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.2, "digits_decide": False})) as system:
        sim = system.sim
        first = await system.daemon()
        (known,) = (await system.ask("GET", "/api/health"))["daemons"]
        run = await system.start(await system.business(limit=2), list(numbers(12)))
        assert await sim.wait_for(lambda: len(sim.ledger.calls) >= 2)
        # From now on an answer takes a while: it is on the wire when the daemon hears that it is to go.
        sim.misbehave("create", "slow", seconds=2.0, accept=True, times=None)
        command = ("drain", known["id"][:8], "--wait")
        waiting = asyncio.create_task(dialer(*command, DIALER_URL=system.url, DIALER_TOKEN=TOKEN))
        await eventually(lambda: first.events("DRAIN_REQUESTED"), timeout=30)
        # Whoever moves it elsewhere says so too; that is the first time that a signal comes, and nobody insists.
        first.send(signal.SIGTERM)
        second = await system.daemon()
        sim.reset("faults")
        said = await waiting
        assert said.code == 0, said.err
        assert await first.ends(timeout=3) == 0, "it was gone, or about to be"
        assert first.events("LEFT_IN_HASTE") == []
        told = [event["event"] for event in first.events()]
        assert "CALL_PLACED" in told[told.index("DRAIN") :], "what was on the wire was waited for"
        assert first.events("CALL_UNKNOWN") == []
        assert second.events("STARTUP")
        shown = await system.ended(run)
        assert (shown["status"], shown["completed"]) == ("completed", 12)
        await system.check(run, limit=2)
