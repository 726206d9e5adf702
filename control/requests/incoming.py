"""What comes in: bodies, ids and pages, read with bounds. Everything wrong with them is an answer."""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control.context import CONTEXT
from control.document.payloads import LARGEST_ID, PageAsked
from control.lists import json_in_steps
from control.requests.problems import (
    Fault,
    Handler,
    invalid,
    not_found,
    too_large,
    unsupported_encoding,
    unsupported_type,
)

Payload = TypeVar("Payload", bound=BaseModel)

MOST_FORM_BYTES = 65_536

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
# What pydantic puts before the message of a check of ours.
_OWN_MESSAGE = "Value error, "


@web.middleware
async def named_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request an id, its own if it brought a decent one; it stands in the answer and in the log."""
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return await handler(request)


async def show_request_id(_: web.Request, response: web.StreamResponse) -> None:
    """A signal of aiohttp: called when an answer's headers are about to be sent, streams included."""
    known = structlog.contextvars.get_contextvars().get("request_id")
    response.headers.setdefault("X-Request-Id", known or uuid.uuid4().hex)
    # Whatever a name or a report holds, a browser must not find out for itself that it is a page.
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers["Server"] = "dialer"


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """The whole body. Raises AnswerWith 413 as soon as it is known to be larger, 408 when it does not come on.

    A compressed one is 415: a kilobyte can be a gigabyte.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise unsupported_encoding()
    if (request.content_length or 0) > most_bytes:
        raise too_large(most_bytes)
    body = bytearray()
    async for chunk in request.app[CONTEXT].patience.chunks(request.content):
        body += chunk
        if len(body) > most_bytes:
            raise too_large(most_bytes)
    return bytes(body)


async def read_payload(request: web.Request, model: type[Payload]) -> Payload:
    """A small JSON body as `model`. Raises AnswerWith 413, 415 or 422."""
    if not is_json(request):
        raise unsupported_type("application/json")
    return payload_of(request, await read_body(request, MOST_FORM_BYTES), model)


async def read_optional_payload(request: web.Request, model: type[Payload]) -> Payload:
    """The same; without any body it is `model` with its defaults."""
    body = await read_body(request, MOST_FORM_BYTES)
    return payload_of(request, body, model) if body.strip() else model()


def payload_of(request: web.Request, body: bytes, model: type[Payload], others: Sequence[Fault] = ()) -> Payload:
    """A body that was read already as `model`. Raises AnswerWith 415 or 422, with the other faults of the request."""
    if not is_json(request):
        raise unsupported_type("application/json")
    payload, faults = validated(model, _json(body))
    if payload is None:
        raise invalid(*others, *faults)
    return payload


def _json(body: bytes) -> Any:
    """The value. Raises AnswerWith 422 for what is not JSON in UTF-8."""
    try:
        return json_in_steps.decode(body.decode("utf-8-sig"))
    except json_in_steps.NamedTwice as twice:
        raise invalid(Fault("", str(twice)), code="invalid_json") from None
    except (ValueError, RecursionError):
        raise invalid(Fault("", "is not JSON"), code="invalid_json") from None


def is_json(request: web.Request) -> bool:
    return request.content_type == "application/json" or request.content_type.endswith("+json")


def validated(model: type[Payload], data: Any, *, strict: bool = True) -> tuple[Payload | None, list[Fault]]:
    """The payload, or every fault of it. `strict`: a number is no text; without it (query strings) it is."""
    try:
        return model.model_validate(data, strict=strict), []
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        return None, [Fault(pointer(item["loc"]), item["msg"].removeprefix(_OWN_MESSAGE)) for item in found]


def identifier(text: str, what: str) -> int:
    """A number of an id column. Raises AnswerWith 404: what is malformed does not exist."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= LARGEST_ID:
        return int(text)
    raise not_found(what)


def uuid_of(text: str, what: str) -> uuid.UUID:
    """A UUID as we write it. Raises AnswerWith 404: what is malformed does not exist."""
    found = parsed_uuid(text)
    if found is None:
        raise not_found(what)
    return found


def parsed_uuid(text: str) -> uuid.UUID | None:
    """None for what is none; the library also takes braces, a URN and no hyphens at all."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted. `after`: the last item of the part before (its sort key), or None."""

    limit: int
    after: int | None
    status: str | None


def page_asked_for(request: web.Request, statuses: Iterable[str] = ()) -> Page:
    """`?limit=&cursor=&status=`. Raises AnswerWith 422 naming every one that is wrong."""
    asked = {name: request.query[name] for name in ("limit", "cursor") if name in request.query}
    page, faults = validated(PageAsked, asked, strict=False)
    status, known = request.query.get("status"), tuple(statuses)
    if known and status is not None and status not in known:
        faults.append(Fault("/status", f"must be one of {', '.join(known)}"))
    if faults or page is None:
        raise invalid(*faults)
    return Page(page.limit, int(page.cursor) if page.cursor else None, status)


def pointer(location: tuple[int | str, ...]) -> str:
    """The JSON pointer to where something is wrong."""
    # A member that we know is named; a name of the caller's own making is input, and input is not echoed.
    parts = [str(part) for part in location]
    return "".join(f"/{part}" for part in parts if _PLAIN_NAME.fullmatch(part))
