"""Machine detection: the verdict comes by a callback of its own, before, between or after the call's news."""

import asyncio
import itertools
import random
import uuid
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sql
from tests.control.house import ACCOUNT, House, news, sid
from tests.support.runs import Worker, add_business, add_run, assert_counters_match, counters

MACHINES = ("machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax")


def verdict(call: str, answered_by: str) -> dict[str, str]:
    return {
        "CallSid": call,
        "AccountSid": ACCOUNT,
        "AnsweredBy": answered_by,
        "MachineDetectionDuration": "2100",
    }


async def tell(house: House, attempt: uuid.UUID, what: dict[str, str]) -> None:
    kind = "call_status" if "CallStatus" in what else "amd_status"
    answer = await house.callback(f"/webhook/{kind}?attempt={attempt}", what)
    assert answer.status == 204, answer.text


async def rows(house: House, attempt: uuid.UUID) -> list[Any]:
    """All that is known of a call, but for ids and the times of our own clock."""
    row = await house.pool.fetchrow(
        """SELECT a.state, a.disposition, a.answered_by, a.carrier_rank, a.answered_at IS NOT NULL AS answered,
                  j.status, j.disposition AS job_disposition, j.duration_seconds, j.twilio_call_sid = a.call_sid AS same
           FROM outbound_call_attempts a JOIN outbound_call_jobs j ON j.id = a.job_id WHERE a.id = $1""",
        attempt,
    )
    events = await house.pool.fetch(
        "SELECT sequence, status FROM outbound_call_events WHERE attempt_id = $1 ORDER BY sequence, status",
        attempt,
    )
    return [dict(row), *map(tuple, events)]


@pytest.mark.parametrize(
    ("answered_by", "disposition"),
    [*((word, "machine") for word in MACHINES), ("human", "answered"), ("unknown", "answered")],
)
async def test_the_verdict_decides_between_answered_and_machine(
    house: House, answered_by: str, disposition: str
) -> None:
    (attempt,) = await house.attempts(machine_detection=True)
    call = sid()
    await tell(house, attempt, news(call, 2, "in-progress"))
    await tell(house, attempt, verdict(call, answered_by))
    job_id = await house.pool.fetchval("SELECT id FROM outbound_call_jobs")
    assert (await house.ask("GET", f"/api/jobs/{job_id}")).data["status"] == "calling"
    await tell(house, attempt, news(call, 3, "completed", CallDuration="7"))
    job = (await house.ask("GET", f"/api/jobs/{job_id}")).data
    assert (job["status"], job["disposition"]) == ("completed", disposition)
    events = [(event["sequence"], event["status"]) for event in job["attempts"][0]["events"]]
    assert sorted(events, key=str) == [(2, "in-progress"), (3, "completed"), (None, f"amd:{answered_by}")]


async def test_any_order_and_repetition_leaves_the_same_rows_and_counters(house: House) -> None:
    def story(call: str) -> list[dict[str, str]]:
        return [
            news(call, 1, "ringing"),
            news(call, 2, "in-progress"),
            verdict(call, "machine_start"),
            news(call, 3, "completed", CallDuration="7"),
        ]

    orders = list(itertools.permutations(range(4)))
    attempts = await house.attempts(len(orders), machine_detection=True)

    async def live_through(attempt: uuid.UUID, order: tuple[int, ...]) -> None:
        told = story(sid())
        for number in (*order, *reversed(order)):
            await tell(house, attempt, told[number])

    await asyncio.gather(*map(live_through, attempts, orders))
    first = await rows(house, attempts[0])
    assert first[0] == {
        "state": "ended",
        "disposition": "machine",
        "answered_by": "machine_start",
        "carrier_rank": 9,
        "answered": True,
        "status": "completed",
        "job_disposition": "machine",
        "duration_seconds": 7,
        "same": True,
    }
    for attempt, order in zip(attempts, orders, strict=True):
        assert await rows(house, attempt) == first, order
    run_id = await house.pool.fetchval("SELECT id FROM outbound_call_runs")
    await assert_counters_match(house.pool, run_id)
    run = await house.run(run_id)
    assert (run["status"], run["completed"], run["dispositions"]) == ("completed", 24, {"machine": 24})


async def test_everything_at_once(house: House) -> None:
    attempts = await house.attempts(8, machine_detection=True)
    calls = {attempt: sid() for attempt in attempts}
    told = [
        (attempt, what)
        for attempt, call in calls.items()
        for what in (news(call, 2, "in-progress"), verdict(call, "fax"), news(call, 3, "completed")) * 3
    ]
    random.shuffle(told)
    await asyncio.gather(*(tell(house, attempt, what) for attempt, what in told))
    run_id = await house.pool.fetchval("SELECT id FROM outbound_call_runs")
    await assert_counters_match(house.pool, run_id)
    assert (await counters(house.pool, run_id))["machine"] == 8


async def test_a_late_verdict_refines_the_end_and_takes_nothing_back(house: House) -> None:
    (attempt,) = await house.attempts(machine_detection=True)
    call = sid()
    await tell(house, attempt, news(call, 3, "completed", CallDuration="7"))
    ends = "SELECT a.ended_at, a.answered_at, a.slot, j.ended_at, j.status FROM outbound_call_attempts a JOIN "
    ends += "outbound_call_jobs j ON j.id = a.job_id"
    before = tuple(await house.pool.fetchrow(ends))
    run = await house.run(await house.pool.fetchval("SELECT id FROM outbound_call_runs"))
    assert run["dispositions"] == {"answered": 1}
    await tell(house, attempt, verdict(call, "machine_end_beep"))
    assert tuple(await house.pool.fetchrow(ends)) == before
    after = await house.run(run["run_id"])
    assert after["dispositions"] == {"machine": 1}
    assert (after["ended_at"], after["completed"]) == (run["ended_at"], run["completed"])
    # And never back.
    for word in ("human", "unknown"):
        await tell(house, attempt, verdict(call, word))
    assert (await house.run(run["run_id"]))["dispositions"] == {"machine": 1}


@pytest.mark.parametrize("table", ["outbound_call_attempts", "outbound_call_jobs"])
async def test_no_other_end_can_be_made_of_an_end(house: House, table: str) -> None:
    """The database itself refuses it."""
    for ending, others in (("completed", ("busy", "unknown")), ("busy", ("machine", "answered", "unknown"))):
        (attempt,) = await house.attempts()
        await tell(house, attempt, news(sid(), 3, ending))
        for other in others:
            with pytest.raises(asyncpg.CheckViolationError):
                await house.pool.execute(f"UPDATE {table} SET disposition = $1", other)


async def test_who_was_not_reached_was_no_machine(house: House) -> None:
    (attempt,) = await house.attempts(machine_detection=True)
    call = sid()
    for what in (news(call, 3, "no-answer"), verdict(call, "machine_start")):
        await tell(house, attempt, what)
    assert (await rows(house, attempt))[0]["job_disposition"] == "no_answer"


async def test_a_verdict_may_be_the_first_news_of_a_call(house: House) -> None:
    (attempt,) = await house.attempts(machine_detection=True)
    call = sid()
    await tell(house, attempt, verdict(call, "human"))
    row = await house.pool.fetchrow("SELECT state, call_sid, sid_source FROM outbound_call_attempts")
    assert tuple(row) == ("requested", call, "callback")


async def test_a_verdict_on_another_call_changes_nothing_of_this_one(house: House) -> None:
    mine, others = await house.attempts(2, machine_detection=True)
    my_call, other_call = sid(), sid()
    await tell(house, mine, news(my_call, 3, "completed"))
    await tell(house, others, news(other_call, 2, "in-progress"))
    for call in (other_call, sid()):
        await tell(house, mine, verdict(call, "machine_start"))
    assert (await rows(house, mine))[0]["disposition"] == "answered"
    assert (await rows(house, others))[0]["answered_by"] is None


async def test_what_is_refused(house: House) -> None:
    (attempt,) = await house.attempts(machine_detection=True)
    path = f"/webhook/amd_status?attempt={attempt}"
    before = await rows(house, attempt)
    unsigned = await house.callback(path, verdict(sid(), "fax"), "nonsense")
    assert (unsigned.status, unsigned.data["code"]) == (403, "bad_signature")
    empty = await house.callback("/webhook/amd_status?attempt=1", {"AnsweredBy": ""})
    assert empty.status == 422
    assert {fault["pointer"] for fault in empty.data["errors"]} == {"/attempt", "/CallSid", "/AnsweredBy"}
    assert await rows(house, attempt) == before


async def test_a_verdict_for_nobody_is_kept_aside(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    stranger, call = uuid.uuid4(), sid()
    for _ in range(2):
        await tell(house, stranger, verdict(call, "fax"))
    kept = await house.pool.fetch("SELECT attempt_id, call_sid, status FROM orphan_callbacks")
    assert [tuple(row) for row in kept] == [(stranger, call, "amd:fax")]
    assert "CALLBACK_ORPHAN" in capsys.readouterr().out


WORDS = st.sampled_from([*MACHINES, "human", "unknown", "none the carrier ever used"])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    ending=st.sampled_from(["completed", "busy"]),
    verdicts=st.lists(WORDS, max_size=3),
    at_the_end=st.none() | WORDS,
    randomness=st.randoms(use_true_random=False),
)
def test_verdicts_that_differ_commute_too(
    database: str, ending: str, verdicts: list[str], at_the_end: str | None, randomness: random.Random
) -> None:
    told: list[tuple[str, int | None, str | None]] = [
        ("in-progress", 2, None),
        (ending, 3, at_the_end),
        *((f"amd:{word}", None, word) for word in verdicts),
    ]
    shuffled = randomness.sample(told * 2, len(told) * 2)

    async def outcome(order: list[tuple[str, int | None, str | None]]) -> list[Any]:
        db = await asyncpg.connect(database)
        try:
            run = await add_run(db, await add_business(db), 1)
            worker = await Worker.join(db)
            await worker.claim()
            [intent] = await worker.intend(run.run_id, [1])
            call = f"CA{intent['job_id']}"
            for status, sequence, word in order:
                fact = (intent["attempt_id"], call, "callback", sequence, status, None, 5, word, None, None)
                await db.execute(sql.query("take_carrier_event"), *fact)
            await assert_counters_match(db, run.run_id)
            of_attempt = "SELECT state, disposition, answered_by FROM outbound_call_attempts WHERE id = $1"
            of_job = "SELECT status, disposition FROM outbound_call_jobs WHERE id = $1"
            return [
                tuple(await db.fetchrow(of_attempt, intent["attempt_id"])),
                tuple(await db.fetchrow(of_job, intent["job_id"])),
            ]
        finally:
            await db.close()

    heard = {*verdicts, at_the_end}
    expected = "busy" if ending == "busy" else "machine" if heard & set(MACHINES) else "answered"
    first = asyncio.run(outcome(told))
    assert first[0][1] == first[1][1] == expected
    assert asyncio.run(outcome(shuffled)) == first
