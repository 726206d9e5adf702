"""Callbacks that are repeated, reordered, late, lost, or early: the same rows, and every slot free at the end."""

from __future__ import annotations

from typing import Any

import pytest

from simulator import INSTANT
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.quiet import slots_are_free
from tests.system.stack import Stack, numbers

LOOK_SOON = {"CALL_SILENT_AFTER_SECONDS": "0.6", "UNKNOWN_AFTER_SECONDS": "0.6"}


@pytest.mark.parametrize(
    "trouble",
    [
        {"do": "duplicate", "copies": 3},
        {"do": "reorder"},
        {"do": "late", "seconds": 0.3, "probability": 0.5},
        {"do": "lose", "event": "completed", "probability": 0.5},
        {"do": "lose"},
    ],
    ids=lambda t: f"{t['do']}-{t.get('event', 'all')}",
)
async def test_whatever_happens_to_callbacks_the_rows_end_the_same(
    make_stack: MakeStack, redis: Any, trouble: dict[str, Any]
) -> None:
    carrier = INSTANT.changed({"talk_seconds": 0.03, "callback_jitter_seconds": 0.03})
    async with make_stack(carrier, **LOOK_SOON) as system:
        system.sim.misbehave("callback", **{"times": None, **trouble})
        await system.daemon()
        phones = [*numbers(9), *(f"+12125559{n}{e}" for n, e in ((1, 85), (2, 90), (3, 95)))]
        run = await system.start(await system.business(limit=3), [p if len(p) == 12 else p[:12] for p in phones])
        shown = await system.ended(run, timeout=60)
        assert shown["status"] == "completed"
        assert shown["total"] == 12
        assert sum(shown["dispositions"].values()) == 12
        assert shown["dispositions"]["answered"] >= 9
        await slots_are_free(system, redis)
        await system.check(run, limit=3)


async def test_a_callback_that_overtakes_the_creates_answer(make_stack: MakeStack, redis: Any) -> None:
    async with make_stack() as system:
        system.sim.misbehave("create", "callback_first", event="initiated", times=None)
        await system.daemon()
        run = await system.start(await system.business(limit=3), list(numbers(6)))
        assert (await system.ended(run))["completed"] == 6
        await slots_are_free(system, redis)
        await system.check(run, limit=3)


async def test_a_call_that_vanishes_from_the_carriers_queue(make_stack: MakeStack, redis: Any) -> None:
    async with make_stack(**LOOK_SOON) as system:
        system.sim.misbehave("call", "outcome", outcome="vanish", times=2)
        await system.daemon()
        run = await system.start(await system.business(limit=3), list(numbers(6)))
        shown = await system.ended(run)
        assert shown["dispositions"] == {"answered": 4, "failed": 2}
        await slots_are_free(system, redis)
        await system.check(run, limit=3)


async def test_a_bad_signature_changes_nothing(system: Stack) -> None:
    system.sim.everybody("stuck")
    await system.daemon()
    run = await system.start(await system.business(limit=3), list(numbers(1)))
    # Everything was said of it: the create's answer, and three callbacks.
    heard = "SELECT attempt_id FROM outbound_call_events GROUP BY attempt_id HAVING count(*) = 4"
    attempt = await eventually(lambda: system.db.fetchval(heard))
    before = await system.db.fetch("SELECT * FROM outbound_call_attempts")
    url = f"{system.url}/webhook/call_status?attempt={attempt}"
    form = {"CallSid": before[0]["call_sid"], "CallStatus": "completed", "SequenceNumber": "9"}
    for headers in ({}, {"X-Twilio-Signature": "bm90IGl0"}):
        async with system.http.post(url, data=form, headers=headers) as answer:
            assert answer.status == 403
    assert await system.db.fetch("SELECT * FROM outbound_call_attempts") == before
    system.sim.exchange.callee_hangs_up(system.sim.exchange.calls[before[0]["call_sid"]])
    assert (await system.ended(run))["completed"] == 1
    await system.check(run)
