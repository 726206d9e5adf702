"""The form fields of everything the carrier posts about a call."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from simulator.calls import Call, Status

API_VERSION = "2010-04-01"

# The carrier names these for every call and, for most numbers, knows nothing: they arrive empty, and signed.
_GEOGRAPHY = {
    f"{who}{what}": ""
    for who in ("To", "Called", "From", "Caller")
    for what in ("City", "State", "Zip", "Country")
}


@dataclass(frozen=True, slots=True)
class Post:
    """One event that is to be told to one URL."""

    kind: Literal["status", "recording", "amd", "twiml"]
    event: str
    call: Call
    url: str
    method: str
    fields: dict[str, str]
    terminal: bool = False


def status_post(call: Call, sequence: int, recording_url: str) -> Post | None:
    """The status callback of the call's present state; None when nobody subscribed to it."""
    order = call.order
    if order.status_callback is None or call.event not in order.status_events:
        return None
    fields = {
        **_about(call),
        "Timestamp": rfc2822(call.updated_at),
        "CallbackSource": "call-progress-events",
        "SequenceNumber": str(sequence),
    }
    if not call.live:
        fields |= _ending(call, recording_url)
    return Post(
        "status",
        call.event,
        call,
        order.status_callback,
        order.status_callback_method,
        fields,
        terminal=not call.live,
    )


def twiml_post(call: Call) -> Post | None:
    """The request for instructions; None when the call came with its own."""
    if call.order.url is None:
        return None
    fields = _about(call)
    if call.answered_by:
        fields["AnsweredBy"] = call.answered_by
    return Post("twiml", "answered", call, call.order.url, call.order.method, fields)


def amd_post(call: Call, milliseconds: int) -> Post | None:
    order = call.order
    if order.amd_callback is None or call.answered_by is None:
        return None
    fields = {
        "CallSid": call.sid,
        "AccountSid": call.account_sid,
        "AnsweredBy": call.answered_by,
        "MachineDetectionDuration": str(milliseconds),
    }
    return Post("amd", call.answered_by, call, order.amd_callback, order.amd_callback_method, fields)


def recording_post(call: Call, recording_url: str) -> Post | None:
    """The callback of the recording's present state; None when nobody subscribed to it."""
    order, recording = call.order, call.recording
    if recording is None or order.recording_callback is None:
        return None
    if recording.status not in order.recording_events:
        return None
    fields = {
        "AccountSid": call.account_sid,
        "CallSid": call.sid,
        "RecordingSid": recording.sid,
        "RecordingUrl": recording_url,
        "RecordingStatus": recording.status,
        "RecordingDuration": str(recording.duration_seconds),
        "RecordingChannels": str(recording.channels),
        "RecordingStartTime": rfc2822(recording.started_at),
        "RecordingSource": "OutboundAPI",
        "RecordingTrack": "both",
        "ErrorCode": "0",
    }
    return Post(
        "recording",
        recording.status,
        call,
        order.recording_callback,
        order.recording_callback_method,
        fields,
        terminal=recording.status != "in-progress",
    )


def rfc2822(moment: datetime | None) -> str:
    """As `Tue, 31 Aug 2010 20:36:28 +0000`; whole seconds, like all of the carrier's times."""
    return format_datetime(moment.astimezone(UTC)) if moment else ""


def _about(call: Call) -> dict[str, str]:
    return {
        **_GEOGRAPHY,
        "CallSid": call.sid,
        "AccountSid": call.account_sid,
        "From": call.order.from_number,
        "Caller": call.order.from_number,
        "To": call.order.to,
        "Called": call.order.to,
        "CallStatus": call.status,
        "Direction": "outbound-api",
        "ApiVersion": API_VERSION,
    }


def _ending(call: Call, recording_url: str) -> dict[str, str]:
    seconds = call.duration_seconds
    fields = {
        "CallDuration": str(seconds),
        "Duration": str(-(-seconds // 60)),
        "SipResponseCode": str(call.sip_code),
    }
    if call.answered_by:
        fields["AnsweredBy"] = call.answered_by
    if call.error_code:
        fields["ErrorCode"] = str(call.error_code)
    if call.recording and call.status is Status.COMPLETED:
        fields["RecordingUrl"] = recording_url
        fields["RecordingSid"] = call.recording.sid
        fields["RecordingDuration"] = str(seconds)
    return fields
