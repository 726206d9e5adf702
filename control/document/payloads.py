"""What may be sent, as models: they check it, and control.document.openapi describes it by them.

What a JSON schema can say too is said to it (a pattern, a list), beside the message for people; no message ever holds
what was sent.
"""

import re
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from control.lists.phones import e164, is_region

LARGEST_ID, MOST_CONCURRENT = 2**63 - 1, 10_000
DEFAULT_PAGE, LARGEST_PAGE, MOST_DIGITS = 50, 500, 18
# In characters, variables as JSON: what one lead may hold bounds what a page of jobs holds.
LONGEST_LEAD_ID, LONGEST_NAME, LONGEST_VARIABLES = 255, 500, 16_384
# In one list: the largest body has room for thirty times as many that are no leads, and each is answered.
MOST_LEADS = 1_000_000

STORABLE = r"^[^\x00]*$"
# A user and a password may stand in it, as the carrier allows; it is ASCII, as URLs on the wire are.
WEB_ADDRESS = (
    r"^https?://(?:[A-Za-z0-9._~%!$&'()*+,;=:-]+@)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
    r"(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"(?:[/?#][!-~]*)?$"
)
# Of what HTTP carries unharmed: printable ASCII, no space at either end.
IDEMPOTENCY_KEY = r"^[!-~](?:[ -~]{0,253}[!-~])?$"
CURSOR = r"^[0-9]{0,18}$"
E164 = r"^\+[1-9][0-9]{6,14}$"
_in_e164 = re.compile(E164).fullmatch
_unstorable = re.compile("[\x00\ud800-\udfff]").search
_web_address_matches = re.compile(WEB_ADDRESS).fullmatch


def is_storable(text: str) -> bool:
    """Whether Postgres can store it: no NUL, no half of a surrogate pair."""
    return _unstorable(text) is None


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("has characters that cannot be stored (NUL, or half of a surrogate pair)")
    return text


def _web_address(text: str) -> str:
    if not _web_address_matches(text):
        raise ValueError("must be an http:// or https:// URL")
    return text


def _region(code: str) -> str:
    if not is_region(code):
        raise ValueError("must be a country in two capital letters, such as IL")
    return code


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError("must be a time zone such as Asia/Jerusalem")
    return name


def _list_time_zones(schema: dict[str, Any]) -> None:
    schema["enum"] = sorted(_time_zones())


def _without_defaults(schema: dict[str, Any]) -> None:
    for described in schema["properties"].values():
        described.pop("default")


def _number_as_text(value: Any) -> Any:
    number = whole(value)
    return str(number) if type(number) is int else value


def whole(value: Any) -> Any:
    """1.0 is an integer in JSON, and some languages know no other numbers."""
    return int(value) if type(value) is float and value.is_integer() else value


def _cursor(text: str) -> str:
    if not re.fullmatch(CURSOR, text):
        raise ValueError("must be a next_cursor of an answer")
    return text


def _as_a_page_holds(value: Any) -> Any:
    """Digits and nothing else; more than a page holds is a whole page: whoever goes on by the cursor misses nothing."""
    if not isinstance(value, str):
        return value
    # Without this, text such as " 1_0" were a number too.
    if not (value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS):
        raise ValueError("must be a number")
    return min(int(value), LARGEST_PAGE)


Text = Annotated[str, AfterValidator(_storable), Field(json_schema_extra={"pattern": STORABLE})]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Url = Annotated[
    str, Field(max_length=2000, json_schema_extra={"pattern": WEB_ADDRESS}), AfterValidator(_web_address)
]
Region = Annotated[
    str, Field(max_length=2, json_schema_extra={"enum": sorted(SUPPORTED_REGIONS)}), AfterValidator(_region)
]
TimeZone = Annotated[str, Field(json_schema_extra=_list_time_zones), AfterValidator(_time_zone)]
Phone = Annotated[Text, Field(max_length=40, json_schema_extra={"format": "phone"})]
OwnNumber = Annotated[
    Text, Field(max_length=40, json_schema_extra={"pattern": E164}, description="As in the region is taken too.")
]
Limit = Annotated[int, Field(ge=1, le=MOST_CONCURRENT), BeforeValidator(whole)]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID), BeforeValidator(whole)]
# What is no id does not exist, in a body as in a path: any text is taken here, and not found there.
NamedId = Annotated[
    str,
    BeforeValidator(_number_as_text),
    Field(json_schema_extra={"type": ["integer", "string"], "examples": [111]}),
]
RunStatus = Literal["pending", "running", "paused", "completed", "stopped", "cancelled", "failed"]
JobStatus = Literal["queued", "dialing", "calling", "completed", "failed", "cancelled"]
RecordingStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
Disposition = Literal[
    "answered", "machine", "busy", "no_answer", "failed", "canceled", "invalid_number", "not_dialed", "unknown"
]


class Payload(BaseModel):
    # A misspelt setting must not be silently the default of the right one.
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartSettings(Payload):
    """A start, without its leads."""

    business_id: Id | None = None
    name: Annotated[Text, Field(max_length=200)] | None = None
    from_number: Phone | None = None
    concurrency: Annotated[int, Field(ge=1), BeforeValidator(whole)] | None = None
    twiml: Annotated[Text, Field(min_length=1, max_length=65_536)] | None = None
    url: Url | None = None
    record: bool | None = False
    machine_detection: bool | None = False
    ring_timeout_seconds: Annotated[int, Field(ge=1, le=600), BeforeValidator(whole)] | None = None
    call_time_limit_seconds: Annotated[int, Field(ge=1, le=86_400), BeforeValidator(whole)] | None = None


class _BusinessSettings(Payload):
    # The region comes first: the number is read with it.
    default_region: Region | None = None
    from_number: OwnNumber | None = None

    @field_validator("from_number")
    @classmethod
    def _in_full(cls, written: str | None, info: ValidationInfo) -> str | None:
        if written is None:
            return None
        # In full it is taken as it is: which numbers it may call from, the carrier knows.
        number = written if _in_e164(written) else e164(written, info.data.get("default_region"))
        if number is None:
            raise ValueError("must be a phone number, in full: +972...")
        return number


class NewBusiness(_BusinessSettings):
    name: Name
    max_concurrent_calls: Limit | None = None
    timezone: TimeZone = "UTC"


class BusinessChange(_BusinessSettings):
    """Only what is named is changed; null takes a number or a region away."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    name: Name = ""
    max_concurrent_calls: Limit = 1
    timezone: TimeZone = "UTC"

    def changes(self, field: str) -> bool:
        return field in self.model_fields_set


class NewKey(Payload):
    name: Name
    role: Literal["member", "read_only"] = "member"


class WithReason(Payload):
    reason: Annotated[Text, Field(max_length=500)] | None = None


class Action(WithReason):
    """Something done to runs. `business_id`: the one that the operator acts for."""

    business_id: Id | None = None


class ForceCancel(Action):
    hangup: bool | None = False


class StopQueue(Action):
    run_id: NamedId


class Retry(Action):
    only: Annotated[list[Disposition], Field(min_length=1)] | None = None


class PageAsked(Payload):
    """Which part of a list: how many, and after which (the `next_cursor` of the part before)."""

    limit: Annotated[
        int,
        Field(
            ge=1,
            description=f"A page has at most {LARGEST_PAGE}.",
            json_schema_extra={"maximum": 10**MOST_DIGITS - 1},
        ),
        BeforeValidator(_as_a_page_holds),
    ] = DEFAULT_PAGE
    cursor: Annotated[str, Field(json_schema_extra={"pattern": CURSOR}), AfterValidator(_cursor)] = ""


class RunsAsked(PageAsked):
    status: RunStatus | None = None


class JobsAsked(PageAsked):
    status: JobStatus | None = None


class RecordingsAsked(PageAsked):
    run_id: Id | None = None
    status: RecordingStatus | None = None


class EventsAsked(Payload):
    run_id: Annotated[Id | None, Field(description="Only what concerns this run.")] = None


class Start(StartSettings):
    """A calling list and what its calls are to do. Numbers not in full are of the business's default region."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["twiml"], "properties": {"twiml": {"type": "string"}, "url": {"type": "null"}}},
                {"required": ["url"], "properties": {"url": {"type": "string"}, "twiml": {"type": "null"}}},
            ]
        }
    )

    # What is no lead is rejected by its position, and the others are dialed: see control.lists.leads.
    leads: Annotated[
        list[Any],
        Field(
            min_length=1,
            description="At least one must be a Lead; what is none is rejected by its position. "
            f"At most {MOST_LEADS:,}.",
            json_schema_extra={"contains": {"$ref": "#/components/schemas/Lead"}},
        ),
    ]


class Lead(BaseModel):
    """Somebody to call, and what is to be known of the call later: in variables at most 16,384 characters of JSON."""

    phone: Phone
    lead_id: int | Annotated[Text, Field(max_length=LONGEST_LEAD_ID)] | None = None
    name: Annotated[Text, Field(max_length=LONGEST_NAME)] | None = None
    variables: dict[str, Any] | None = None


class Acting(Payload):
    """For whom: a key acts for its own business, the operator for any."""

    business_id: Annotated[Id | None, Field(description="The business that the operator acts for.")] = None


class LeadRow(BaseModel):
    """A line of a list in CSV, below the line of names. Columns of any other name become variables."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    phone: Phone
    lead_id: Annotated[Text, Field(max_length=LONGEST_LEAD_ID)] = ""
    name: Annotated[Text, Field(max_length=LONGEST_NAME)] = ""
