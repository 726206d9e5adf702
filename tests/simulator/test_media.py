"""Recordings, machine detection and instructions fetched by URL."""

import asyncio
import io
import wave

import aiohttp
import pytest
from aiohttp import web
from twilio.rest import Client

from simulator import Outcome, Plan, Simulator
from tests.simulator.customer import EVENTS, TO, TWIML, Caller, Customer, Received, until


def of_kind(customer: Customer, key: str) -> list[Received]:
    return [one for one in customer.received if key in one.form]


async def recorded(sim: Simulator, caller: Caller, **more: str) -> str:
    """A call with a finished recording; answers the recording's SID."""
    sid = (await caller.create(Record="true", **more)).body["sid"]
    assert await sim.wait_for(lambda: any(r.ready and r.call_sid == sid for r in sim.exchange.recordings.values()))
    return next(r.sid for r in sim.exchange.recordings.values() if r.call_sid == sid)


async def test_media_are_404_until_processed(sim: Simulator, caller: Caller) -> None:
    sim.change(recording_seconds=0.6)
    sid = (await caller.create(Record="true")).body["sid"]
    assert await sim.wait_for(lambda: sim.ledger.live_now == 0)
    (recording,) = (await caller.get(f"/Calls/{sid}/Recordings.json")).body["recordings"]
    path = f"/Recordings/{recording['sid']}"
    assert recording["status"] == "processing"
    assert (await caller.get(f"{path}.mp3")).status == 404
    await until(lambda: sim.exchange.recordings[recording["sid"]].ready)
    assert (await caller.get(f"{path}.json")).body["status"] == "completed"
    reply = await caller.get(f"{path}.mp3")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "audio/mpeg")
    assert reply.body[:2] == b"\xff\xf3"
    assert 3000 < len(reply.body) < 6000


async def test_wav_can_be_opened(sim: Simulator, caller: Caller) -> None:
    sid = await recorded(sim, caller, RecordingChannels="dual")
    for ending in (".wav", ""):
        reply = await caller.get(f"/Recordings/{sid}{ending}")
        assert reply.headers["Content-Type"] == "audio/x-wav"
        with wave.open(io.BytesIO(reply.body)) as sound:
            assert (sound.getnchannels(), sound.getnframes()) == (2, 8000)


async def test_ranges(sim: Simulator, caller: Caller) -> None:
    url = f"{caller.account}/Recordings/{await recorded(sim, caller)}.mp3"
    whole = (await caller.send("GET", url)).body
    part = await caller.send("GET", url, headers={"Range": "bytes=100-"})
    assert (part.status, part.body) == (206, whole[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert (await caller.send("GET", url, headers={"Range": "bytes=-5"})).body == whole[-5:]
    assert (await caller.send("GET", url, headers={"Range": f"bytes={len(whole)}-"})).status == 416
    head = await caller.send("HEAD", url)
    assert int(head.headers["Content-Length"]) == len(whole)


async def test_media_want_credentials_unless_set_otherwise(sim: Simulator, caller: Caller) -> None:
    url = f"{caller.account}/Recordings/{await recorded(sim, caller)}.mp3"
    async with caller.session.get(url) as answer:
        assert answer.status == 401
    sim.change(media_auth=False)
    async with caller.session.get(url) as answer:
        assert answer.status == 200


async def test_recording_callbacks(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sid = await recorded(sim, caller, RecordingStatusCallback=f"{customer.url}/r?attempt=a1")
    (told,) = await customer.got(1)
    assert told.signed_with(sim.settings.auth_token)
    assert (told.form["RecordingSid"], told.form["RecordingStatus"]) == (sid, "completed")
    assert (told.form["RecordingDuration"], told.form["RecordingChannels"]) == ("1", "1")
    assert told.form["RecordingUrl"] == f"{caller.account}/Recordings/{sid}"
    assert told.form["RecordingSource"] == "OutboundAPI"
    assert [one.kind for one in sim.ledger.deliveries] == ["recording"]


async def test_recording_callback_faults_leave_status_callbacks_alone(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.misbehave("callback", "lose", kind="recording")
    await recorded(sim, caller, RecordingStatusCallback=customer.url, StatusCallback=customer.url)
    assert await sim.wait_for(lambda: sim.idle)
    assert len(customer.received) == len(EVENTS)
    end = next(one for one in customer.received if one.form["CallStatus"] == "completed")
    assert end.form["RecordingUrl"].startswith(sim.url)


async def test_sdk_lists_fetches_and_deletes(sim: Simulator, caller: Caller, sdk: Client) -> None:
    sid = await recorded(sim, caller)
    (listed,) = await asyncio.to_thread(lambda: sdk.recordings.list())
    assert (listed.sid, listed.source, listed.channels) == (sid, "OutboundAPI", 1)
    assert (await asyncio.to_thread(sdk.recordings(sid).fetch)).duration == "1"
    assert await asyncio.to_thread(sdk.recordings(sid).delete)
    assert (await caller.get(f"/Recordings/{sid}.mp3")).status == 404


async def test_media_faults(sim: Simulator, caller: Caller) -> None:
    sid = await recorded(sim, caller)
    sim.misbehave("media", "error", status=503)
    sim.misbehave("media", "cut")
    assert (await caller.get(f"/Recordings/{sid}.mp3")).status == 503
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.get(f"/Recordings/{sid}.mp3")
    sim.misbehave("recording", "error", status=500)
    assert (await caller.get(f"/Recordings/{sid}.json")).status == 500
    assert (await caller.get(f"/Recordings/{sid}.mp3")).status == 200


async def test_each_recording_sounds_different(sim: Simulator, caller: Caller) -> None:
    for _ in range(2):
        await recorded(sim, caller)
    for ending in (".mp3", ".wav"):
        sounds = {(await caller.get(f"/Recordings/{sid}{ending}")).body for sid in sim.exchange.recordings}
        assert len(sounds) == 2


async def test_large_recordings_are_streamed_and_a_stall_interrupts_them(sim: Simulator, caller: Caller) -> None:
    sim.change(recording_bytes=1_000_001)
    sid = await recorded(sim, caller)
    whole = (await caller.get(f"/Recordings/{sid}.mp3")).body
    assert len(whole) == 1_000_001
    sim.misbehave("media", "stall", seconds=0.05)
    assert (await caller.get(f"/Recordings/{sid}.mp3")).body == whole
    assert (await caller.get(f"/Recordings/{sid}.wav")).body[:4] == b"RIFF"


async def test_the_ledger_tells_what_was_read_and_whether_to_the_end(sim: Simulator, caller: Caller) -> None:
    sid = await recorded(sim, caller)
    sim.misbehave("media", "truncate")
    half = (await caller.get(f"/Recordings/{sid}.mp3")).body
    head = await caller.send("HEAD", f"{caller.account}/Recordings/{sid}.mp3")
    whole = (await caller.get(f"/Recordings/{sid}.mp3")).body
    assert int(head.headers["Content-Length"]) == len(whole) > len(half)
    assert [(r.status, r.whole, r.authorized) for r in sim.ledger.media_of(sid)] == [
        (200, False, True),
        (200, True, True),
    ]


async def test_absent_recordings_are_told_to_those_who_ask(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.change(recordings_absent=True)
    fields = {"RecordingStatusCallback": customer.url, "RecordingStatusCallbackEvent": "absent"}
    sid = (await caller.create(Record="true", **fields)).body["sid"]
    (told,) = await customer.got(1)
    assert told.form["RecordingStatus"] == "absent"
    (listed,) = (await caller.get(f"/Calls/{sid}/Recordings.json")).body["recordings"]
    assert listed["status"] == "absent"
    assert (await caller.get(f"/Recordings/{listed['sid']}.mp3")).status == 404


@pytest.mark.parametrize(
    ("outcome", "detection", "verdict"),
    [
        (Outcome.ANSWERED, "Enable", "human"),
        (Outcome.MACHINE, "Enable", "machine_start"),
        (Outcome.MACHINE, "DetectMessageEnd", "machine_end_beep"),
    ],
)
async def test_machine_detection(
    sim: Simulator, caller: Caller, customer: Customer, outcome: Outcome, detection: str, verdict: str
) -> None:
    sim.script(TO, outcome)
    sid = (
        await caller.create(StatusCallback=customer.url, MachineDetection=detection, events=["completed"])
    ).body["sid"]
    (end,) = await customer.got(1)
    assert (end.form["CallStatus"], end.form["AnsweredBy"]) == ("completed", verdict)
    assert (await caller.get(f"/Calls/{sid}.json")).body["answered_by"] == verdict


async def test_asynchronous_detection_posts_its_verdict(
    sim: Simulator, caller: Caller, customer: Customer
) -> None:
    sim.change(talk_seconds=60, amd_seconds=0.02)
    sim.script(TO, Plan(Outcome.MACHINE, answered_by="fax"))
    url = f"{customer.url}/amd?attempt=a1"
    await caller.create(MachineDetection="Enable", AsyncAmd="true", AsyncAmdStatusCallback=url)
    (told,) = await customer.got(1)
    assert told.signed_with(sim.settings.auth_token)
    assert told.form["AnsweredBy"] == "fax"
    assert 20 <= int(told.form["MachineDetectionDuration"]) < 2000
    assert sim.ledger.live_now == 1


async def test_hung_up_before_the_verdict(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(amd_seconds=60)
    await caller.create(MachineDetection="Enable", AsyncAmd="true", AsyncAmdStatusCallback=customer.url)
    (told,) = await customer.got(1)
    assert told.form["AnsweredBy"] == "unknown"


async def test_instructions_are_fetched_when_answered(sim: Simulator, caller: Caller, customer: Customer) -> None:
    async def instruct(_: Received) -> web.StreamResponse:
        return web.Response(text=TWIML, content_type="text/xml")

    customer.answer = instruct
    url = f"{customer.url}/webhook/outbound_call?attempt=a1"
    reply = await caller.create(Twiml="", Url=url)
    assert await sim.wait_for(lambda: sim.idle)
    (asked,) = customer.received
    assert asked.url == url
    assert asked.signed_with(sim.settings.auth_token)
    assert asked.form["CallStatus"] == "in-progress"
    assert sim.ledger.calls[reply.body["sid"]].attempt == "a1"


async def test_without_instructions_the_call_ends(sim: Simulator, caller: Caller, customer: Customer) -> None:
    sim.change(talk_seconds=60)
    sid = (
        await caller.create(
            Twiml="", Url=f"{customer.url}/nothing", StatusCallback=customer.url, events=["completed"]
        )
    ).body["sid"]
    assert await sim.wait_for(lambda: sim.idle, timeout=5)
    end = of_kind(customer, "SequenceNumber")[-1]
    assert (end.form["CallStatus"], end.form["ErrorCode"]) == ("completed", "11200")
    assert sim.ledger.calls[sid].status == "completed"
