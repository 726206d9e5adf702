"""Callbacks: signed, taken once, in whatever order they come."""

import asyncio
import itertools
import json
import time
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis
from twilio.request_validator import RequestValidator

from dialer.edges import wakeup
from tests.control.house import AUTH_TOKEN, BASE_URL, TWIML, House, news, sid
from tests.support.runs import add_business, add_run, assert_counters_match, counters
from tests.support.waiting import eventually

STORY = ("initiated", "ringing", "in-progress", "completed")


def _story(call: str) -> list[dict[str, str]]:
    events = [news(call, number, status) for number, status in enumerate(STORY)]
    events[-1] |= {"CallDuration": "12", "SipResponseCode": "200"}
    return events


async def _end_state(house: House, attempt: uuid.UUID) -> tuple[Any, ...]:
    """All rows about an attempt but for ids and the times of our own clock."""
    row = await house.pool.fetchrow(
        """SELECT a.state, a.disposition, a.carrier_rank, a.error_code, a.sid_source, a.answered_at IS NOT NULL,
                  j.status, j.disposition, j.duration_seconds, j.error_code, j.twilio_call_sid = a.call_sid
           FROM outbound_call_attempts a JOIN outbound_call_jobs j ON j.id = a.job_id WHERE a.id = $1""",
        attempt,
    )
    events = await house.pool.fetch(
        "SELECT sequence, status, at, source FROM outbound_call_events WHERE attempt_id = $1 ORDER BY sequence",
        attempt,
    )
    return (tuple(row), [tuple(event) for event in events])


async def test_any_order_and_repetition_ends_in_the_same_rows(house: House) -> None:
    # All orders of the four events, each sent twice: once there and once more in the opposite order.
    orders = list(itertools.permutations(range(4)))
    attempts = await house.attempts(len(orders))

    async def tell(attempt: uuid.UUID, order: tuple[int, ...]) -> None:
        story = _story(sid())
        for number in (*order, *reversed(order)):
            assert (await house.call_status(attempt, story[number])).status == 204

    await asyncio.gather(*map(tell, attempts, orders))
    first = await _end_state(house, attempts[0])
    assert first[0] == ("ended", "answered", 9, None, "callback", True, "completed", "answered", 12, None, True)
    assert len(first[1]) == 4
    for attempt, order in zip(attempts, orders, strict=True):
        assert await _end_state(house, attempt) == first, order
    run_id = await house.pool.fetchval("SELECT id FROM outbound_call_runs")
    await assert_counters_match(house.pool, run_id)
    assert (await house.run(run_id))["status"] == "completed"


async def test_the_same_news_many_times_at_once(house: House) -> None:
    (attempt,) = await house.attempts()
    story = _story(sid())
    answers = await asyncio.gather(*(house.call_status(attempt, event) for event in story * 8))
    assert {answer.status for answer in answers} == {204}
    assert len((await _end_state(house, attempt))[1]) == 4
    run_id = await house.pool.fetchval("SELECT id FROM outbound_call_runs")
    await assert_counters_match(house.pool, run_id)
    assert (await counters(house.pool, run_id))["answered"] == 1


async def test_why_a_call_failed_is_kept(house: House) -> None:
    by_sip, by_carrier = await house.attempts(2)
    await house.call_status(by_sip, news(sid(), 3, "failed", SipResponseCode="404"))
    fields = {"SipResponseCode": "404", "ErrorCode": "32009", "ErrorMessage": "not registered"}
    await house.call_status(by_carrier, news(sid(), 3, "failed", **fields))
    jobs = await house.pool.fetch("SELECT error_code, error_message FROM outbound_call_jobs ORDER BY position")
    assert [tuple(job) for job in jobs] == [(404, None), (32009, "not registered")]


async def test_a_callback_may_come_before_the_create_is_answered(house: House) -> None:
    (attempt,) = await house.attempts()
    call = sid()
    assert (await house.call_status(attempt, news(call, 1, "ringing"))).status == 204
    row = await house.pool.fetchrow("SELECT state, call_sid FROM outbound_call_attempts WHERE id = $1", attempt)
    assert tuple(row) == ("live", call)


@pytest.mark.parametrize("signature", ["", "nonsense", "\u00e9", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="])
async def test_without_the_right_signature_nothing_changes(house: House, signature: str) -> None:
    (attempt,) = await house.attempts()
    before = await _end_state(house, attempt)
    for path in ("/webhook/call_status", "/webhook/outbound_call"):
        answer = await house.callback(f"{path}?attempt={attempt}", news(sid(), 3, "completed"), signature or "x")
        assert (answer.status, answer.data["code"]) == (403, "bad_signature")
    missing = await house.ask("POST", f"/webhook/call_status?attempt={attempt}", None, data=news(sid(), 3, "busy"))
    assert missing.status == 403
    assert await _end_state(house, attempt) == before


@pytest.mark.parametrize(
    "attempt", [None, "", "x", "1", uuid.UUID(int=1).hex, "%7B00000000-0000-0000-0000-000000000001%7D"]
)
async def test_the_attempt_must_be_named(house: House, attempt: str | None) -> None:
    path = "/webhook/call_status" + ("" if attempt is None else f"?attempt={attempt}")
    signed = await house.callback(path, {})
    assert signed.status == 422
    assert {fault["pointer"] for fault in signed.data["errors"]} == {"/attempt", "/CallSid", "/CallStatus"}
    assert (await house.callback(path, {}, "unsigned")).status == 403


async def test_news_of_an_unknown_attempt_is_kept_aside(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    stranger, call = uuid.uuid4(), sid()
    for _ in range(2):
        assert (await house.call_status(stranger, news(call, 3, "completed"))).status == 204
    row = await house.pool.fetchrow("SELECT attempt_id, call_sid, sequence, status FROM orphan_callbacks")
    assert tuple(row) == (stranger, call, 3, "completed")
    assert "CALLBACK_ORPHAN" in capsys.readouterr().out


async def test_a_second_call_of_an_attempt_raises_an_alert(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    (attempt,) = await house.attempts()
    await house.call_status(attempt, news(sid(), 3, "busy"))
    before = await _end_state(house, attempt)
    assert (await house.call_status(attempt, news(sid(), 1, "ringing"))).status == 204
    assert "LATE_CALL" in capsys.readouterr().out
    assert (await _end_state(house, attempt))[0] == before[0]


@pytest.mark.parametrize(
    "others",
    [
        {"CallStatus": "levitating"},
        {"SequenceNumber": "x", "Timestamp": "yesterday", "CallDuration": "-1", "SipResponseCode": "9" * 40},
        {"Timestamp": "Mon, 32 Jun 2025 10:00:00 +0000", "AnsweredBy": "", "ErrorCode": "abc"},
        {"Timestamp": "Mon, 01 Jan 0001 00:00:00 +2359"},
        {"SequenceNumber": "99999999999"},
        {"CallerName": "דנה 🎈", "Tag": ""},
    ],
)
async def test_what_we_do_not_understand_does_no_harm(house: House, others: dict[str, str]) -> None:
    (attempt,) = await house.attempts()
    call = sid()
    assert (await house.call_status(attempt, news(call, 1, "ringing") | others)).status == 204
    assert (await house.call_status(attempt, news(call, 2, "no-answer"))).status == 204
    assert (await _end_state(house, attempt))[0][:2] == ("ended", "no_answer")


async def test_what_cannot_be_stored_is_refused(house: House) -> None:
    (attempt,) = await house.attempts()
    answer = await house.call_status(attempt, news(sid(), 1, "ringing") | {"CallSid": "CA\x00"})
    assert answer.status == 422
    large = await house.call_status(attempt, news(sid(), 1, "ringing", Filler="x" * 70_000))
    assert large.status == 413


async def test_the_twiml_of_the_run(house: House) -> None:
    (attempt,) = await house.attempts()
    path = f"/webhook/outbound_call?attempt={attempt}"
    call = sid()
    answer = await house.callback(path, news(call, 2, "in-progress"))
    assert (answer.status, answer.text) == (200, TWIML)
    assert answer.headers["Content-Type"].startswith("application/xml")
    # It is news of the call too.
    assert await house.pool.fetchval("SELECT call_sid FROM outbound_call_attempts") == call
    stranger = await house.callback(
        f"/webhook/outbound_call?attempt={uuid.uuid4()}", news(sid(), 2, "in-progress")
    )
    assert "<Hangup/>" in stranger.text


async def test_no_twiml_where_the_run_names_a_url(house: House) -> None:
    (attempt,) = await house.attempts(twiml=None, url="https://example.com/twiml")
    answer = await house.callback(f"/webhook/outbound_call?attempt={attempt}", news(sid(), 2, "in-progress"))
    assert answer.status == 404


async def test_a_freed_slot_is_said_to_the_daemons_and_said_again(house: House, redis: Redis) -> None:
    (attempt,) = await house.attempts()
    namespace = await house.pool.fetchval("SELECT id FROM installation")
    heard: list[dict[str, Any]] = []
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(wakeup.channel(str(namespace)))

        async def listen() -> int:
            message = await pubsub.get_message()
            if message and message["type"] == "message":
                heard.append(json.loads(message["data"]))
            return len(heard)

        assert (await eventually(pubsub.get_message))["type"] == "subscribe"
        story = _story(sid())
        for event in (*story, story[-1]):
            await house.call_status(attempt, event)

        async def heard_two() -> bool:
            return await listen() == 2

        await eventually(heard_two)
    job = await house.pool.fetchrow("SELECT id, run_id, business_id FROM outbound_call_jobs")
    expected = {
        "kind": "released",
        "business_id": job["business_id"],
        "run_id": job["run_id"],
        "attempt_id": str(attempt),
        "slot": 1,
        "job_id": job["id"],
    }
    # What had ended before was handed over then, if anybody waited: only the first tells when it arrived.
    assert heard[0].pop("heard_at") <= time.time()
    assert heard == [expected, expected]


async def test_a_guess_from_the_list_gives_way(house: House) -> None:
    """The signed callback of the attempt that owns a call overrides a guess that gave it to another."""
    one, other = await house.attempts(2)
    call = sid()
    take = "SELECT * FROM take_carrier_event($1, $2, 'list', NULL, 'in-progress', NULL, NULL, NULL, NULL, NULL)"
    await house.pool.execute(take, one, call)
    assert (await house.call_status(other, news(call, 1, "ringing"))).status == 204
    rows = await house.pool.fetch("SELECT id, state, call_sid FROM outbound_call_attempts")
    assert {row["id"]: (row["state"], row["call_sid"]) for row in rows} == {
        one: ("unknown", None),
        other: ("live", call),
    }


async def test_the_port_may_be_signed_or_not(house: House) -> None:
    (attempt,) = await house.attempts()
    fields, path = news(sid(), 1, "ringing"), f"/webhook/call_status?attempt={attempt}"
    for base in (BASE_URL, f"{BASE_URL}:443"):
        signature = RequestValidator(AUTH_TOKEN).compute_signature(base + path, fields)
        assert (await house.callback(path, fields, signature)).status == 204


async def test_callbacks_of_runs_that_were_stopped_still_count(house: House) -> None:
    (attempt,) = await house.attempts(1)
    run_id = await house.pool.fetchval("UPDATE outbound_call_runs SET status = 'stopped' RETURNING id")
    await house.call_status(attempt, news(sid(), 3, "completed"))
    run = await house.run(run_id)
    assert (run["status"], run["completed"], run["in_progress"]) == ("stopped", 1, 0)


async def test_jobs_of_other_runs_are_left_alone(house: House) -> None:
    (attempt,) = await house.attempts(1)
    bystander = await add_run(house.pool, await add_business(house.pool), 2)
    before = await counters(house.pool, bystander.run_id)
    await house.call_status(attempt, news(sid(), 3, "completed"))
    assert await counters(house.pool, bystander.run_id) == before
