"""What may be sent, as models. Their messages never hold what was sent."""

from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from control.incoming import LARGEST_ID
from control.phones import e164, is_region

MOST_CONCURRENT = 10_000


def is_storable(text: str) -> bool:
    """Whether Postgres can store it: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("has characters that cannot be stored (NUL, or half of a surrogate pair)")
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isprintable() or " " in text:
        raise ValueError("must be an http:// or https:// URL")
    return text


def _region(code: str) -> str:
    if not is_region(code):
        raise ValueError("must be a country in two capital letters, such as IL")
    return code


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError("must be a time zone such as Asia/Jerusalem") from None
    return name


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Region = Annotated[str, Field(max_length=2), AfterValidator(_region)]
TimeZone = Annotated[Text, Field(min_length=1, max_length=64), AfterValidator(_time_zone)]
Limit = Annotated[int, Field(ge=1, le=MOST_CONCURRENT)]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
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
    from_number: Annotated[Text, Field(max_length=40)] | None = None
    concurrency: Annotated[int, Field(ge=1)] | None = None
    twiml: Annotated[Text, Field(min_length=1, max_length=65_536)] | None = None
    url: Annotated[Text, Field(max_length=2000), AfterValidator(_web_address)] | None = None
    record: bool = False
    machine_detection: bool = False
    ring_timeout_seconds: Annotated[int, Field(ge=1, le=600)] | None = None
    call_time_limit_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None


class _BusinessSettings(Payload):
    # The region comes first: the number is read with it.
    default_region: Region | None = None
    from_number: Annotated[Text, Field(max_length=40)] | None = None

    @field_validator("from_number")
    @classmethod
    def _in_full(cls, written: str | None, info: ValidationInfo) -> str | None:
        if written is None:
            return None
        number = e164(written, info.data.get("default_region"))
        if number is None:
            raise ValueError("must be a phone number, in full: +972...")
        return number


class NewBusiness(_BusinessSettings):
    name: Name
    max_concurrent_calls: Limit | None = None
    timezone: TimeZone = "UTC"


class BusinessChange(_BusinessSettings):
    """Only what is named is changed; null takes a number or a region away."""

    name: Name = ""
    max_concurrent_calls: Limit = 1
    timezone: TimeZone = "UTC"

    def changes(self, field: str) -> bool:
        return field in self.model_fields_set


class NewKey(Payload):
    name: Name
    role: Literal["member", "read_only"] = "member"


class Action(Payload):
    """Something done to runs. `business_id`: the one that the operator acts for."""

    reason: Annotated[Text, Field(max_length=500)] | None = None
    business_id: Id | None = None


class ForceCancel(Action):
    hangup: bool = False


class StopQueue(Action):
    # What is no id does not exist, in a body as in a path.
    run_id: int | str


class Retry(Action):
    only: Annotated[list[Disposition], Field(min_length=1)] | None = None
