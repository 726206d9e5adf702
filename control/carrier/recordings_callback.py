"""What the carrier says of recordings."""

import re
import uuid
from dataclasses import dataclass

from aiohttp import web

from control.carrier.callbacks import take_in
from control.carrier.carrier_form import Told, read_signed
from control.context import CONTEXT, Context
from control.requests.problems import Fault, invalid
from dialer.edges.wakeup import Hint
from dialer.rules.model import CarrierEvent
from dialer.telemetry import logger

CALL_SID = re.compile(r"CA[0-9A-Za-z]{1,64}")
RECORDING_SID = re.compile(r"RE[0-9A-Za-z]{1,64}")
# Where there is nothing to fetch, there may be nothing to name either.
WITHOUT_SID = frozenset({"absent", "failed"})


@dataclass(frozen=True, slots=True)
class RecordingNews:
    """What the carrier says of the recording of a call. The duration is in seconds."""

    attempt_id: uuid.UUID
    call_sid: str
    recording_sid: str | None
    status: str
    duration_seconds: int | None
    channels: int | None


async def recording_status(request: web.Request) -> web.Response:
    context = request.app[CONTEXT]
    news = _read(await read_signed(request, "CallSid", "RecordingStatus"))
    # First of all it is news of a call: perhaps the first one that names it. Nobody's call is kept aside there.
    event = CarrierEvent(news.attempt_id, news.call_sid, "callback", None, f"recording:{news.status}")
    taken = await take_in(context, event)
    if taken.business_id is not None:
        await _take(context, news)
    return web.Response(status=204)


def _read(told: Told) -> RecordingNews:
    call_sid, status = told.fields["CallSid"], told.fields["RecordingStatus"]
    recording_sid = told.fields.get("RecordingSid") or None
    faults = []
    if not CALL_SID.fullmatch(call_sid):
        faults.append(Fault("/CallSid", "is no SID of a call"))
    if recording_sid is None and status not in WITHOUT_SID:
        faults.append(Fault("/RecordingSid", "is missing"))
    if recording_sid is not None and not RECORDING_SID.fullmatch(recording_sid):
        faults.append(Fault("/RecordingSid", "is no SID of a recording"))
    if faults:
        raise invalid(*faults)
    return RecordingNews(
        told.attempt_id,
        call_sid,
        recording_sid,
        status,
        told.number("RecordingDuration"),
        # None at all is no number of channels.
        told.number("RecordingChannels") or None,
    )


async def _take(context: Context, news: RecordingNews) -> None:
    stored = await context.database.row(
        "take_recording_of_call",
        *(news.attempt_id, news.call_sid, news.recording_sid, news.status),
        *(news.duration_seconds, news.channels),
    )
    who = {"attempt_id": str(news.attempt_id), "call_sid": news.call_sid}
    if stored is None:
        logger().warning("RECORDING_OF_ANOTHER", recording_status=news.status, **who)
    elif stored["result"] == "another":
        logger().warning("SECOND_RECORDING", business_id=stored["business_id"], job_id=stored["job_id"], **who)
    # For a repeat too: the process that stored it may have died before it said so.
    elif stored["status"] == "queued":
        context.hints.say(
            Hint("recording", stored["business_id"], run_id=stored["run_id"], job_id=stored["job_id"])
        )
