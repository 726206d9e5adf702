"""Calls, recordings and lists as the REST API shows them."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from simulator.calls import Call
from simulator.events import API_VERSION, rfc2822
from simulator.recordings import Recording

Json = dict[str, object]

_SUBRESOURCES = {
    "notifications": "Notifications",
    "recordings": "Recordings",
    "payments": "Payments",
    "events": "Events",
    "siprec": "Siprec",
    "streams": "Streams",
    "transcriptions": "Transcriptions",
    "user_defined_messages": "UserDefinedMessages",
    "user_defined_message_subscriptions": "UserDefinedMessageSubscriptions",
}


def account_path(account_sid: str) -> str:
    return f"/{API_VERSION}/Accounts/{account_sid}"


def call_resource(call: Call) -> Json:
    """The call as it is now."""
    path = f"{account_path(call.account_sid)}/Calls/{call.sid}"
    return {
        "sid": call.sid,
        "account_sid": call.account_sid,
        "parent_call_sid": None,
        "to": call.order.to,
        "to_formatted": _formatted(call.order.to),
        "from": call.order.from_number,
        "from_formatted": _formatted(call.order.from_number),
        "phone_number_sid": _number_sid(call.order.from_number),
        "status": call.rest_status,
        "date_created": rfc2822(call.created_at),
        "date_updated": rfc2822(call.updated_at),
        "start_time": rfc2822(call.started_at) or None,
        "end_time": rfc2822(call.ended_at) or None,
        "duration": None if call.live else str(call.duration_seconds),
        "price": None,
        "price_unit": "USD",
        "direction": "outbound-api",
        "answered_by": call.answered_by,
        "annotation": None,
        "api_version": API_VERSION,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": str(call.queue_time_ms),
        "trunk_sid": None,
        "uri": f"{path}.json",
        "subresource_uris": {key: f"{path}/{name}.json" for key, name in _SUBRESOURCES.items()},
    }


def recording_resource(recording: Recording, base_url: str) -> Json:
    known = recording.duration_seconds >= 0
    return {
        "sid": recording.sid,
        "account_sid": recording.account_sid,
        "call_sid": recording.call_sid,
        "conference_sid": None,
        "api_version": API_VERSION,
        "date_created": rfc2822(recording.started_at),
        "date_updated": rfc2822(recording.updated_at),
        "start_time": rfc2822(recording.started_at),
        "duration": str(recording.duration_seconds) if known else None,
        "price": None,
        "price_unit": "USD",
        "status": recording.status,
        "channels": recording.channels,
        "source": "OutboundAPI",
        "error_code": None,
        "encryption_details": None,
        "uri": f"{recording.path}.json",
        "media_url": base_url + recording.path,
        "subresource_uris": {},
    }


def event_resource(call: Call, base_url: str) -> Json:
    """What the Events of a call say of its creation."""
    parameters: dict[str, object] = {}
    for key, value in call.order.parameters:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()
        parameters[name] = f"{parameters[name]} {value}" if name in parameters else value
    return {
        "request": {
            "method": "POST",
            "url": f"{base_url}{account_path(call.account_sid)}/Calls.json",
            "parameters": {"account_sid": call.account_sid, **parameters},
        },
        "response": {
            "response_code": 201,
            "request_duration": 50,
            "content_type": "application/json",
            "date_created": rfc2822(call.created_at),
            "response_body": f'{{"sid": "{call.sid}"}}',
        },
    }


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted. The token is `PA` and the SID after which the page begins."""

    size: int
    number: int
    after: str | None

    @classmethod
    def wanted(cls, query: Mapping[str, str]) -> "Page":
        size, number = query.get("PageSize", ""), query.get("Page", "")
        return cls(
            min(max(int(size), 1), 1000) if size.isdecimal() else 50,
            int(number) if number.isdecimal() else 0,
            query.get("PageToken", "")[2:] or None,
        )


def page_resource(
    key: str, path: str, query: Mapping[str, str], page: Page, start: int, items: Sequence[Json], last_sid: str
) -> Json:
    """One page of a list; `last_sid` is empty when no page follows. `start` counts from 0."""
    kept = {name: value for name, value in query.items() if name not in ("Page", "PageToken", "PageSize")}

    def uri(**place: object) -> str:
        return f"{path}?{urlencode({**kept, 'PageSize': page.size, **place})}"

    following = uri(Page=page.number + 1, PageToken=f"PA{last_sid}") if last_sid else None
    return {
        key: list(items),
        "page": page.number,
        "page_size": page.size,
        "start": start,
        "end": start + len(items) - 1 if items else start,
        "uri": uri(Page=page.number),
        "first_page_uri": uri(Page=0),
        "next_page_uri": following,
        "previous_page_uri": uri(Page=page.number - 1) if page.number else None,
    }


def moment_fits(moment: datetime | None, query: Mapping[str, str], key: str) -> bool:
    """Whether a time is on the day `key`, not after `key<` and not before `key>`, as far as these are given.

    Raises ValueError for a filter that is no date or time.
    """
    on, before, after = (_moment(query.get(key + sign)) for sign in ("", "<", ">"))
    if moment is None:
        return on is before is after is None
    return (
        (on is None or moment.date() == on.date())
        and (before is None or moment <= before)
        and (after is None or moment >= after)
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _formatted(number: str) -> str:
    if re.fullmatch(r"\+1\d{10}", number):
        return f"({number[2:5]}) {number[5:8]}-{number[8:]}"
    return number


def _number_sid(number: str) -> str:
    return f"PN{hashlib.md5(number.encode(), usedforsecurity=False).hexdigest()}"
