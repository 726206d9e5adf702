"""Every answer that a create can get lands in its class, and no attempt ever has two calls."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from simulator import INSTANT
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import Stack, numbers

# Look-ups within a second, and a short life of calls, so that an unknown attempt is settled in seconds.
SETTLE_SOON = {
    "UNKNOWN_AFTER_SECONDS": "0.5",
    "CARRIER_LIST_LAG_SECONDS": "1",
    "CALL_SILENT_AFTER_SECONDS": "2",
    "TWILIO_TIMEOUT_SECONDS": "1.5",
}
SHORT = {"ring_timeout_seconds": 1, "call_time_limit_seconds": 5}


async def dial(system: Stack, count: int = 4, **fields: Any) -> dict[str, Any]:
    await system.daemon()
    run = await system.start(await system.business(limit=2), list(numbers(count)), **{**SHORT, **fields})
    return await system.ended(run, timeout=40)


@pytest.mark.parametrize("wish", [None, 1])
async def test_429_is_tried_again_later_and_costs_nothing(make_stack: MakeStack, wish: int | None) -> None:
    async with make_stack() as system:
        details = {} if wish is None else {"retry_after": wish}
        system.sim.misbehave("create", "error", status=429, times=3, **details)
        shown = await dial(system)
        assert (shown["completed"], shown["dispositions"]) == (4, {"answered": 4})
        assert [j["attempts_made"] for j in await system.jobs(shown["run_id"])] == [1, 1, 1, 1]
        await system.check(shown["run_id"], limit=2)
        if wish is not None:
            refused = [a.at for a in system.sim.ledger.arrivals if a.status == 429]
            after = [a.at for a in system.sim.ledger.arrivals if a.at > refused[-1]]
            assert after[0] - refused[-1] >= wish


async def test_a_bad_number_ends_its_job_only(make_stack: MakeStack) -> None:
    async with make_stack() as system:
        system.sim.misbehave("create", "error", status=400, code=21211)
        shown = await dial(system)
        assert shown["dispositions"] == {"answered": 3, "invalid_number": 1}
        failed = [j for j in await system.jobs(shown["run_id"]) if j["status"] == "failed"]
        assert [j["error_code"] for j in failed] == [21211]
        await system.check(shown["run_id"], limit=2)


async def test_a_bad_caller_id_fails_jobs_and_five_in_a_row_pause_the_run(make_stack: MakeStack) -> None:
    async with make_stack() as system:
        system.sim.misbehave("create", "error", status=400, code=21210, times=None)
        await system.daemon()
        run = await system.start(await system.business(limit=3), list(numbers(20)))

        async def paused() -> dict[str, Any] | None:
            shown = await system.run(run)
            return shown if shown["status"] == "paused" else None

        shown = await eventually(paused, timeout=15)
        assert shown is not None
        assert "21210" in shown["last_error"]
        assert (shown["failed"], shown["queued"], shown["in_progress"]) == (5, 15, 0)
        assert (shown["locked_by_worker"], shown["last_heartbeat_at"]) == (None, None)
        assert len(system.sim.ledger.arrivals) == 5
        assert system.sim.ledger.calls == {}


async def test_a_refused_account_consumes_no_job_and_goes_on_by_itself(make_stack: MakeStack) -> None:
    async with make_stack() as system:
        system.sim.misbehave("create", "error", status=401, code=20003, times=None)
        await system.daemon()
        run = await system.start(await system.business(limit=3), list(numbers(6)))

        async def refused() -> dict[str, Any] | None:
            shown = await system.run(run)
            return shown if shown["last_error"] else None

        shown = await eventually(refused, timeout=15)
        assert shown is not None
        assert (shown["status"], shown["queued"] + shown["in_progress"]) == ("running", 6)
        assert "20003" in shown["last_error"]
        # Those that were on the way together, then nobody until the probe.
        tried = len(system.sim.ledger.arrivals)
        assert tried <= 3
        await eventually(lambda: len(system.sim.ledger.arrivals) > tried, timeout=10)
        probed = [a.at for a in system.sim.ledger.arrivals]
        assert probed[-1] - probed[tried - 1] >= 4.9
        system.sim.faults.clear()
        shown = await system.ended(run, timeout=25)
        assert (shown["completed"], shown["last_error"]) == (6, None)
        assert len(system.sim.ledger.calls) == 6
        assert system.sim.ledger.most_live() <= 3


PLACED_BUT_NOBODY_KNOWS = [
    {"do": "error", "status": 500, "accept": True},
    {"do": "error", "status": 502, "accept": True},
    {"do": "html", "accept": True},
    {"do": "drop"},
    {"do": "truncate"},
    {"do": "cut"},
    {"do": "redirect", "accept": True},
    {"do": "slow", "seconds": 2.5, "accept": True},
]


@pytest.mark.parametrize("lost", [False, True], ids=["heard", "callbacks-lost"])
@pytest.mark.parametrize("fault", PLACED_BUT_NOBODY_KNOWS, ids=lambda f: f"{f['do']}{f.get('status', '')}")
async def test_a_call_whose_answer_was_lost_is_found_and_never_made_again(
    make_stack: MakeStack, fault: dict[str, Any], lost: bool
) -> None:
    async with make_stack(**SETTLE_SOON) as system:
        if lost:
            system.sim.misbehave("callback", "lose", times=None)
        system.sim.misbehave("create", **{"times": 1, **fault})
        shown = await dial(system, 3)
        assert shown["dispositions"] == {"answered": 3}
        assert len(system.sim.ledger.calls) == 3
        await system.check(shown["run_id"], limit=2)


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "error", "status": 500},
        {"do": "error", "status": 503},
        {"do": "html"},
        {"do": "slow", "seconds": 2.5, "accept": False},
    ],
    ids=lambda f: f"{f['do']}{f.get('status', '')}",
)
async def test_a_call_that_was_never_made_ends_unknown_and_is_never_dialed_again(
    make_stack: MakeStack, fault: dict[str, Any]
) -> None:
    async with make_stack(**SETTLE_SOON) as system:
        system.sim.misbehave("create", **{"times": 1, **fault})
        shown = await dial(system, 3)
        assert shown["dispositions"] == {"answered": 2, "unknown": 1}
        assert len(system.sim.ledger.arrivals) == 3
        await system.check(shown["run_id"], limit=2)


async def test_a_create_placed_after_we_gave_up_on_its_answer_is_bound_all_the_same(make_stack: MakeStack) -> None:
    """The request sits in the carrier for longer than our time-out, and is processed then."""
    async with make_stack(**{**SETTLE_SOON, "CARRIER_LIST_LAG_SECONDS": "5"}) as system:
        system.sim.misbehave("create", "slow", seconds=2.5, accept="late")
        shown = await dial(system, 2)
        assert shown["dispositions"] == {"answered": 2}
        assert len(system.sim.ledger.calls) == 2
        await system.check(shown["run_id"], limit=2)


async def test_a_carrier_that_cannot_be_reached_is_waited_for(make_stack: MakeStack) -> None:
    async with make_stack() as system:
        daemon = await system.daemon(TWILIO_API_BASE_URL="http://127.0.0.1:9")
        run = await system.start(await system.business(limit=3), list(numbers(4)))
        await eventually(lambda: daemon.events("CALL_NOT_PROCESSED"), timeout=30)
        shown = await system.run(run)
        assert (shown["status"], shown["failed"]) == ("running", 0)
        daemon.close()
        await system.daemon()
        assert (await system.ended(run))["completed"] == 4
        await system.check(run, limit=3)


async def test_five_calls_a_second_over_two_daemons_are_evenly_spaced(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"digits_decide": False}), TWILIO_CALLS_PER_SECOND="5") as system:
        for _ in range(2):
            await system.daemon()
        business = await system.business(limit=10)
        phones = list(numbers(24))
        runs = [await system.start(business, phones[:12]), await system.start(business, phones[12:])]
        for run in runs:
            await system.ended(run)
        times = sorted(system.sim.ledger.create_times())
        assert len(times) == 24
        busiest = max(sum(t <= u < t + 1.0 for u in times) for t in times)
        assert busiest <= 6
        gaps = [b - a for a, b in pairwise(times)]
        assert sum(gaps) / len(gaps) < 0.23, "the rate is used"
        assert sorted(gaps)[2] > 0.14, gaps
        await system.check(*runs, limit=10)
