"""What the carrier says of recordings: signed, taken once, in whatever order it comes."""

import asyncio
import itertools
import json
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from dialer.edges import wakeup
from tests.control.gate import gate_before
from tests.control.house import House, news, sid
from tests.control.recorded import all_rows, claim, recorded_call, recording_sid, tell, told
from tests.support.waiting import eventually

STATES = "SELECT status, recording_sid, error_code, duration_seconds, channels, retry_count FROM recording_runs"


async def test_any_order_and_repetition_makes_one_same_row(house: House) -> None:
    def story(call: str, recording: str) -> list[dict[str, str]]:
        return [
            news(call, 2, "in-progress"),
            told(call, "in-progress", recording, RecordingDuration="-1"),
            news(call, 3, "completed", CallDuration="7"),
            told(call, "completed", recording),
        ]

    orders = list(itertools.permutations(range(4)))
    attempts = await house.attempts(len(orders), record=True)
    calls = {attempt: (sid(), recording_sid()) for attempt in attempts}

    async def live_through(attempt: uuid.UUID, order: tuple[int, ...]) -> None:
        events = story(*calls[attempt])
        for number in (*order, *reversed(order)):
            await tell(house, attempt, events[number])

    await asyncio.gather(*map(live_through, attempts, orders))
    rows = await house.pool.fetch(
        """SELECT r.attempt_id, r.call_sid, r.recording_sid, r.status, r.duration_seconds, r.channels, r.error_code,
                  r.business_id = a.business_id AND r.run_id = a.run_id AND r.job_id = a.job_id AS fits, a.disposition
           FROM recording_runs r JOIN outbound_call_attempts a ON a.id = r.attempt_id"""
    )
    assert len(rows) == len(orders)
    for row in rows:
        assert (row["call_sid"], row["recording_sid"]) == calls[row["attempt_id"]]
        rest = ("status", "duration_seconds", "channels", "error_code", "fits", "disposition")
        assert tuple(row[name] for name in rest) == ("queued", 7, 1, None, True, "answered")


async def test_the_same_news_many_times_at_once_makes_one_row(house: House) -> None:
    (attempt,) = await house.attempts(record=True)
    call, recording = sid(), recording_sid()
    both = [told(call, recording=recording), news(call, 3, "completed", CallDuration="7")]
    await asyncio.gather(*(tell(house, attempt, what) for what in both * 12))
    assert [tuple(row) for row in await house.pool.fetch(STATES)] == [("queued", recording, None, 7, 1, 0)]


@pytest.mark.parametrize("status", ["absent", "failed"])
async def test_what_the_carrier_does_not_have_fails_with_the_reason(house: House, status: str) -> None:
    for named in (True, False):
        (attempt,) = await house.attempts(record=True)
        call = sid()
        fields = told(call, status, RecordingDuration="")
        if not named:
            fields["RecordingSid"] = ""
        await tell(house, attempt, news(call, 3, "completed"))
        for _ in range(2):
            await tell(house, attempt, fields)
    rows = await house.pool.fetch("SELECT status, error_code, error_message FROM recording_runs")
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["error_code"] for row in rows} == {"absent" if status == "absent" else "carrier_failed"}
    assert all("carrier" in row["error_message"] for row in rows)


@pytest.mark.parametrize("other", ["absent", "failed"])
async def test_one_that_turned_up_stands_in_any_order(house: House, other: str) -> None:
    ends = []
    for order in itertools.permutations(("completed", other, "in-progress")):
        (attempt,) = await house.attempts(record=True)
        call, recording = sid(), recording_sid()
        for status in (*order, *order):
            await tell(house, attempt, told(call, status, recording))
        row = await house.pool.fetchrow(STATES + " WHERE call_sid = $1", call)
        ends.append((row["status"], row["recording_sid"] == recording, row["error_code"]))
    assert ends == [("queued", True, None)] * 6


async def test_what_is_being_fetched_or_is_there_is_left_alone(house: House) -> None:
    one = await recorded_call(house)
    await claim(house, one.call)
    before = await all_rows(house)
    await tell(house, one.attempt, told(one.call, recording=one.recording))
    assert await all_rows(house) == before


async def test_a_second_recording_of_a_call_is_not_fetched(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    one = await recorded_call(house)
    await tell(house, one.attempt, told(one.call))
    rows = await house.pool.fetch(STATES)
    assert [(row["status"], row["recording_sid"]) for row in rows] == [("queued", one.recording)]
    assert "SECOND_RECORDING" in capsys.readouterr().out


async def test_it_may_be_the_first_news_of_a_call(house: House) -> None:
    (attempt,) = await house.attempts(record=True)
    call = sid()
    await tell(house, attempt, told(call))
    row = await house.pool.fetchrow("SELECT call_sid, sid_source FROM outbound_call_attempts")
    assert tuple(row) == (call, "callback")
    assert await house.pool.fetchval("SELECT call_sid FROM recording_runs") == call


async def test_a_recording_of_another_call_is_not_taken(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a callback says, the recording of a call belongs to the attempt whose call it is."""
    one = await recorded_call(house)
    (mine,) = await house.attempts(record=True)
    (unnamed,) = await house.attempts(record=True)
    await tell(house, mine, news(sid(), 3, "completed"))
    before = await house.pool.fetch("SELECT r::text FROM recording_runs r ORDER BY id")
    for attempt in (mine, unnamed):
        for _ in range(2):
            await tell(house, attempt, told(one.call, recording=one.recording))
            await tell(house, attempt, told(one.call))
    assert await house.pool.fetch("SELECT r::text FROM recording_runs r ORDER BY id") == before
    assert await house.pool.fetchval("SELECT call_sid FROM outbound_call_attempts WHERE id = $1", unnamed) is None
    assert "RECORDING_OF_ANOTHER" in capsys.readouterr().out


async def test_one_recording_of_two_calls_is_answered_too(house: House) -> None:
    """It cannot be stored twice; the carrier must not hear of it for ever."""
    one = await recorded_call(house)
    (other,) = await house.attempts(record=True)
    await tell(house, other, told(sid(), recording=one.recording))
    assert (
        await house.pool.fetchval("SELECT call_sid FROM recording_runs WHERE recording_sid IS NOT NULL")
        == one.call
    )


async def test_the_recording_of_a_call_that_turned_up_late_is_fetched(house: House) -> None:
    (attempt,) = await house.attempts(record=True)
    await house.pool.execute(
        "SELECT end_unknown(id, last_news_at) FROM outbound_call_attempts WHERE id = $1", attempt
    )
    call, recording = sid(), recording_sid()
    for _ in range(2):
        await tell(house, attempt, told(call, recording=recording))
    assert [tuple(row) for row in await house.pool.fetch(STATES)] == [("queued", recording, None, 7, 1, 0)]


async def test_the_recording_of_nobodys_call_is_kept_aside(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger, call = uuid.uuid4(), sid()
    for _ in range(2):
        await tell(house, stranger, told(call))
    row = await house.pool.fetch("SELECT attempt_id, call_sid, status FROM orphan_callbacks")
    assert [tuple(one) for one in row] == [(stranger, call, "recording:completed")]
    assert await house.pool.fetchval("SELECT count(*) FROM recording_runs") == 0
    assert "CALLBACK_ORPHAN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"CallSid": ""}, "/CallSid"),
        ({"CallSid": "CA../../etc/passwd"}, "/CallSid"),
        ({"CallSid": "CA1\n"}, "/CallSid"),
        ({"RecordingStatus": ""}, "/RecordingStatus"),
        ({"RecordingSid": ""}, "/RecordingSid"),
        ({"RecordingSid": "RE/../x"}, "/RecordingSid"),
        ({"RecordingSid": "RE" + "0" * 100}, "/RecordingSid"),
        ({"RecordingSid": "RE\x00"}, ""),
    ],
)
async def test_what_cannot_be_stored_is_refused(house: House, change: dict[str, str], pointer: str) -> None:
    (attempt,) = await house.attempts(record=True)
    before = await all_rows(house)
    answer = await house.callback(f"/webhook/recording_status?attempt={attempt}", told(sid()) | change)
    assert answer.status == 422
    assert pointer in {fault["pointer"] for fault in answer.data["errors"]}
    assert await all_rows(house) == before


@pytest.mark.parametrize("duration", ["-1", "", "nonsense", "99999999999", "12.5"])
async def test_figures_that_are_none_are_not_known(house: House, duration: str) -> None:
    (attempt,) = await house.attempts(record=True)
    await tell(house, attempt, told(sid(), RecordingDuration=duration, RecordingChannels="0"))
    row = await house.pool.fetchrow(STATES)
    assert (row["status"], row["duration_seconds"], row["channels"]) == ("queued", None, None)


@pytest.mark.parametrize("attempt", [None, "", "x", "1"])
async def test_the_attempt_must_be_named(house: House, attempt: str | None) -> None:
    path = "/webhook/recording_status" + ("" if attempt is None else f"?attempt={attempt}")
    answer = await house.callback(path, told(sid()))
    assert (answer.status, [fault["pointer"] for fault in answer.data["errors"]]) == (422, ["/attempt"])


async def test_without_the_right_signature_nothing_changes(house: House) -> None:
    (attempt,) = await house.attempts(record=True)
    before = await all_rows(house)
    path = f"/webhook/recording_status?attempt={attempt}"
    forged = await house.callback(path, told(sid()), "bm9uc2Vuc2U=")
    assert (forged.status, forged.data["code"]) == (403, "bad_signature")
    assert (await house.ask("POST", path, None, data=told(sid()))).status == 403
    assert await all_rows(house) == before


async def test_what_could_not_be_stored_is_asked_for_again(open_house: Any, database: str, redis_url: str) -> None:
    async with gate_before(database) as gate:
        house: House = await (await open_house(gate.dsn, redis_url)).ready()
        (attempt,) = await house.attempts(record=True)
        call = sid()
        await gate.shut()
        answer = await house.callback(f"/webhook/recording_status?attempt={attempt}", told(call))
        assert answer.status == 503
        await gate.open()
        await tell(house, attempt, told(call))
    assert await house.pool.fetchval("SELECT count(*) FROM recording_runs") == 1


async def test_the_daemons_are_told_and_told_again(house: House, redis: Redis) -> None:
    (attempt,) = await house.attempts(record=True)
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
        fields = told(sid())
        for _ in range(2):
            await tell(house, attempt, fields)

        async def heard_two() -> bool:
            return await listen() == 2

        await eventually(heard_two)
    job = await house.pool.fetchrow("SELECT id, run_id, business_id FROM outbound_call_jobs")
    hint = {
        "kind": "recording",
        **{f"{k}_id": v for k, v in (("business", job[2]), ("run", job[1]), ("job", job[0]))},
    }
    assert heard == [hint, hint]
