"""A list goes in, every lead is called at most once, at most so many at a time, and each ends with a result."""

from __future__ import annotations

import io
from csv import writer

from simulator import INSTANT
from tests.support.runs import assert_counters_match
from tests.support.waiting import eventually
from tests.system.conftest import MakeStack
from tests.system.stack import ENDED, FROM, TWIML, Stack, numbers


async def test_seven_jobs_at_limit_three_leave_the_log_of_the_old_scenario(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.15})) as system:
        daemon = await system.daemon()
        run = await system.start(await system.business(limit=3), list(numbers(7)))
        shown = await system.ended(run)
        assert (shown["status"], shown["completed"], shown["dispositions"]) == ("completed", 7, {"answered": 7})
        assert system.sim.ledger.most_live() == 3
        await system.check(run, limit=3)
        log = daemon.events("OUTBOUND_ENQUEUE", "OUTBOUND_QUEUED", "OUTBOUND_NEXT", "OUTBOUND_DONE")
        jobs = [j["id"] for j in await system.jobs(run)]
        assert all(e["limit"] == 3 and 0 <= e["active"] <= 3 and e["business_id"] for e in log)
        assert [e["job_id"] for e in log if e["event"] == "OUTBOUND_ENQUEUE"] == jobs
        queued = [(e["job_id"], e["queue_len"]) for e in log if e["event"] == "OUTBOUND_QUEUED"]
        assert queued == list(zip(jobs[3:], (1, 2, 3, 4), strict=True))
        assert [e["job_id"] for e in log if e["event"] == "OUTBOUND_NEXT"] == jobs[3:]
        done_before_next = [e["event"] for e in log if e["event"] in ("OUTBOUND_NEXT", "OUTBOUND_DONE")]
        for n, event in enumerate(done_before_next):
            seen = done_before_next[: n + 1]
            assert event != "OUTBOUND_NEXT" or seen.count("OUTBOUND_DONE") >= seen.count("OUTBOUND_NEXT")
        assert done_before_next.count("OUTBOUND_DONE") == 7
        assert all(1 <= e["active"] <= 3 for e in log if e["event"] == "OUTBOUND_NEXT")
        assert len(daemon.events("CALL_PLACED")) == 7
        await eventually(lambda: daemon.events("RUN_COMPLETED"))


def messy_csv(leads: int) -> tuple[str, int, int]:
    """A list as people send it: (text with a byte-order mark, bad numbers, duplicates)."""
    out = io.StringIO()
    rows = writer(out)
    rows.writerow(["phone", "lead_id", "name", "city"])
    bad = duplicates = 0
    previous = ""
    for n, phone in enumerate(numbers(leads)):
        ending = n % 100
        number = phone[:-2] + f"{ending:02d}"
        if n % 50 == 7:
            number, bad = "12345", bad + 1
        elif n % 50 == 9:
            number, duplicates = previous, duplicates + 1
        else:
            previous = number
        rows.writerow([number, f"L{n}", "דנה, לוי" if n % 3 else 'Quoted "Dana", Jr.', "חיפה"])
    return "\ufeff" + out.getvalue(), bad, duplicates


async def test_a_thousand_messy_leads_are_all_accounted_for(system: Stack) -> None:
    text, bad, duplicates = messy_csv(1000)
    business = await system.business(limit=25)
    await system.daemon()
    started = await system.ask(
        "POST",
        "/api/runs",
        params={"business_id": str(business), "twiml": TWIML, "from_number": FROM, "concurrency": "25"},
        data=text.encode(),
        headers={"Content-Type": "text/csv"},
    )
    assert (len(started["rejected"]), started["duplicates"]) == (bad, duplicates)
    assert started["queued"] == 1000 - bad - duplicates
    run = started["run_id"]
    polls = 0
    while (await system.run(run))["status"] not in ENDED:
        async with system.db.transaction(isolation="repeatable_read"):
            await assert_counters_match(system.db, run)
        polls += 1
    assert polls > 5
    shown = await system.ended(run)
    jobs = await system.jobs(run)
    assert shown["total"] == len(jobs) == started["queued"]
    assert all(j["disposition"] for j in jobs)
    assert set(shown["dispositions"]) >= {"answered", "busy", "no_answer", "failed", "invalid_number"}
    assert sum(shown["dispositions"].values()) == shown["total"]
    assert {j["name"] for j in jobs} == {"דנה, לוי", 'Quoted "Dana", Jr.'}
    await system.check(run, limit=25)


async def test_two_runs_of_one_business_on_two_daemons_share_its_limit_fairly(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.05, "digits_decide": False})) as system:
        daemons = [await system.daemon(), await system.daemon()]
        business = await system.business(limit=3)
        phones = list(numbers(80))
        one = await system.start(business, phones[:40], from_number=FROM)
        two = await system.start(business, phones[40:], from_number=FROM)
        await system.ended(one)
        await system.ended(two)
        await system.check(one, two, limit=3)
        assert [len(d.events("RUN_CLAIMED")) for d in daemons] == [1, 1]
        # While both have work, neither waits for more than its turn: of any six calls in a row each has two.
        whose = {phone: n // 40 for n, phone in enumerate(phones)}
        order = [whose[c.to] for c in sorted(system.sim.ledger.calls.values(), key=lambda c: c.created)]
        first_of_two = order.index(1)
        both = order[first_of_two : len(order) - 1 - order[::-1].index(0) if order[-1] else len(order)]
        both = both[:70]
        for n in range(len(both) - 6):
            assert 2 <= sum(both[n : n + 6]) <= 4, (n, both)


async def test_a_runs_own_concurrency_of_one_is_kept(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"talk_seconds": 0.02})) as system:
        await system.daemon()
        run = await system.start(await system.business(limit=3), list(numbers(8)), concurrency=1)
        assert (await system.ended(run))["completed"] == 8
        await system.check(run, limit=1)


async def test_a_limit_lowered_during_a_run_lets_none_start_until_fewer_are_live(make_stack: MakeStack) -> None:
    async with make_stack(INSTANT.changed({"digits_decide": False})) as system:
        sim = system.sim
        sim.everybody("stuck")
        await system.daemon()
        business = await system.business(limit=5)
        run = await system.start(business, list(numbers(12)))
        await sim.wait_for(lambda: sim.ledger.live_now == 5)
        await system.ask("PATCH", f"/api/businesses/{business}", json={"max_concurrent_calls": 3})
        sim.everybody("answered")
        live = sorted(sim.ledger.calls.values(), key=lambda c: c.created)
        for placed in live:
            before = len(sim.ledger.calls)
            sim.exchange.callee_hangs_up(sim.exchange.calls[placed.sid])
            await call_settled(system, placed.sid)
            if placed is live[1]:
                # Three are live still, in slots of five: the limit is reached.
                assert len(sim.ledger.calls) == before == 5
        shown = await system.ended(run)
        assert shown["completed"] == 12
        await system.check(run)
        later = [c for c in sim.ledger.calls.values() if c not in live]
        for call in later:
            others = [c for c in sim.ledger.calls.values() if c is not call]
            assert sum(c.created <= call.created < (c.ended or call.created) for c in others) < 3


async def call_settled(system: Stack, sid: str) -> None:
    ended = "SELECT count(*) FROM outbound_call_attempts WHERE call_sid = $1 AND ended_at IS NOT NULL"
    await eventually(lambda: system.db.fetchval(ended, sid))
