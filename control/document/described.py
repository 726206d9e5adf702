"""What can be said of a handler: the nouns of control.document.operations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

FORM, JSON, CSV, TWIML, HTML, SSE, SOUND = (
    "application/x-www-form-urlencoded",
    "application/json",
    "text/csv",
    "application/xml",
    "text/html",
    "text/event-stream",
    "audio/*",
)


@dataclass(frozen=True, slots=True)
class Content:
    """An answer. Without a model it is text of this type; without a type there is no body."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str | None = JSON
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    headers: Mapping[str, str] = field(default_factory=dict)  # headers that it may have: name → meaning


@dataclass(frozen=True, slots=True)
class Header:
    """A header that may be sent."""

    name: str
    meaning: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Operation:
    summary: str
    answers: Mapping[int, Content]
    description: str = ""
    body: type[BaseModel] | None = None
    body_type: str = JSON
    body_required: bool = True
    example: Any = None  # of a body
    settings_of_csv: type[BaseModel] | None = None  # the body may be text/csv; these are then in the query string
    query: type[BaseModel] | None = None
    headers: tuple[Header, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)  # status → when
    shows_more_with_a_token: bool = False


def name_of(handler: Callable[..., Any]) -> str:
    """The handler's name in OPERATIONS."""
    return f"{handler.__module__.rpartition('.')[2]}.{handler.__name__}"
