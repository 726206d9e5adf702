"""A callback of the carrier, read: signed, for one attempt, tolerant of everything else."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from aiohttp import web

from control.context import CONTEXT
from control.document.payloads import is_storable
from control.requests.incoming import MOST_FORM_BYTES, parsed_uuid, read_body
from control.requests.problems import Fault, forbidden, invalid
from dialer.rules.model import CarrierEvent

LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Told:
    """A signed callback for an attempt: its form fields."""

    attempt_id: uuid.UUID
    fields: Mapping[str, str]

    def number(self, name: str) -> int | None:
        """The field as a number; None when it is none."""
        return _number(self.fields.get(name))


async def read_event(request: web.Request) -> CarrierEvent:
    """The event in a callback. Raises AnswerWith as `read_signed` does."""
    told = await read_signed(request, "CallSid", "CallStatus")
    fields = told.fields
    return CarrierEvent(
        told.attempt_id,
        fields["CallSid"],
        "callback",
        told.number("SequenceNumber"),
        fields["CallStatus"],
        at=_moment(fields.get("Timestamp")),
        duration_seconds=told.number("CallDuration"),
        answered_by=fields.get("AnsweredBy") or None,
        error_code=told.number("ErrorCode") or _sip_error(fields.get("SipResponseCode")),
        error_message=fields.get("ErrorMessage") or None,
    )


async def read_signed(request: web.Request, *required: str) -> Told:
    """A callback's fields. Raises AnswerWith: 403 unless it is signed, 422 unless it has what it must have."""
    fields = await _signed_fields(request)
    attempt_id = parsed_uuid(request.query.get("attempt", ""))
    faults = [] if attempt_id else [Fault("/attempt", "must be the UUID of an attempt")]
    faults += [Fault(f"/{name}", "is missing") for name in required if not fields.get(name)]
    faults += [Fault("", "has a NUL character") for text in fields.values() if not is_storable(text)]
    if faults or attempt_id is None:
        raise invalid(*faults)
    return Told(attempt_id, fields)


async def _signed_fields(request: web.Request) -> Mapping[str, str]:
    body = await read_body(request, MOST_FORM_BYTES)
    form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    verifier = request.app[CONTEXT].verifier
    if not verifier.accepts(request.raw_path, form, request.headers.get("X-Twilio-Signature")):
        raise forbidden("bad_signature", "the signature is missing or wrong")
    return dict(form)


def _number(text: str | None) -> int | None:
    if text and text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_INTEGER:
        return int(text)
    return None


def _sip_error(text: str | None) -> int | None:
    """How the far side refused; 2xx is how it accepted."""
    code = _number(text)
    return code if code is not None and code >= 300 else None


def _moment(text: str | None) -> datetime | None:
    """A time in RFC 2822; None when it is none: the time at which we received it has to do."""
    if not text:
        return None
    try:
        at = parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
