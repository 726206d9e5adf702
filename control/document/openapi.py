"""GET /api/openapi.json: the routes, described by control.document.operations and the models of payloads and shapes."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from control.document.described import CSV, JSON, Content, Operation, name_of
from control.document.operations import OPERATIONS, operation_of
from control.document.payloads import LARGEST_ID, Acting, Lead, LeadRow
from control.document.shapes import Problem as ProblemShape
from control.requests.auth import Access
from control.requests.problems import CODES, PROBLEM_JSON, Problem

Json = dict[str, Any]

ID = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
# Of what is named in a path and is no number.
NAMES: Mapping[str, Json] = {
    "call_sid": {"type": "string", "pattern": "^CA[0-9A-Za-z]{1,64}$"},
    "daemon_id": {"type": "string", "format": "uuid"},
}
SCHEMA = "#/components/schemas/{model}"

INTRODUCTION = (
    "Every answer has `X-Request-Id`; times are RFC 3339 in UTC. An error is a problem document (RFC 9457) whose "
    "`code` is a stable word; when the input was wrong, `errors` names every fault at once. A query parameter or a "
    "member of a body that is not described here is refused, so that a misspelt one is not silently ignored.\n\n"
    "A key acts for its business. The operator's token acts for any: it names one with `business_id`, in the JSON "
    "body or in the query string."
)


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the tables in control.routes; `asks`: for "nothing", a "token", the "operator" or the "carrier"."""

    method: str
    path: str
    handler: str
    asks: str

    @property
    def ids(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


@dataclass(frozen=True, slots=True)
class Document:
    body: bytes
    etag: str


DOCUMENT = web.AppKey("openapi", Document)


async def show(request: web.Request) -> web.Response:
    document = request.app[DOCUMENT]
    headers = {"ETag": f'"{document.etag}"', "Cache-Control": "no-cache"}
    if any(tag.value in ("*", document.etag) for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=document.body, content_type=JSON, headers=headers)


@cache
def document(routes: tuple[Route, ...]) -> Document:
    body = json.dumps(described(routes), ensure_ascii=False, separators=(",", ":")).encode()
    return Document(body, hashlib.sha256(body).hexdigest()[:32])


def routes_of(
    probes: Iterable[tuple[str, Callable[..., Any]]],
    callbacks: Iterable[tuple[str, Callable[..., Any]]],
    guarded: Iterable[tuple[str, str, Callable[..., Any], Access]],
) -> tuple[Route, ...]:
    """The tables of control.routes as one."""
    asks = {Access.OPERATOR: "operator"}
    return (
        *(
            Route(method, path, name_of(handler), asks.get(access, "token"))
            for method, path, handler, access in guarded
        ),
        *(Route("GET", path, name_of(probe), "nothing") for path, probe in probes),
        *(Route("POST", path, name_of(callback), "carrier") for path, callback in callbacks),
    )


def described(routes: tuple[Route, ...]) -> Json:
    """The document. A route whose handler is not in `operations` is not in it either; a test finds it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dialer", "version": version("dialer"), "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in OPERATIONS],
        "paths": _paths(routes),
        "components": {
            "schemas": _schemas(routes),
            "responses": {f"Problem{status}": _problem(status) for status in CODES},
            "headers": {"X-Request-Id": _header("The id of the request: yours, if you sent one.")},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "carrier": {"type": "apiKey", "in": "header", "name": "X-Twilio-Signature"},
            },
        },
    }


def _paths(routes: tuple[Route, ...]) -> Json:
    # The last path of a handler is its own; those before it are names from earlier days.
    own = {(route.method, route.handler): route.path for route in routes}
    paths: Json = {}
    for route, operation in _pairs(routes):
        name = route.handler.replace(".", "_") + ("_head" if route.method == "HEAD" else "")
        if own[route.method, route.handler] != route.path:
            name += f"_of_{route.path.split('/')[2]}"
        paths.setdefault(route.path, {})[route.method.lower()] = {
            "operationId": name,
            "tags": [tag for tag, operations in OPERATIONS.items() if route.handler in operations],
            **_operation(route, operation),
        }
    return paths


def _pairs(routes: tuple[Route, ...]) -> Iterator[tuple[Route, Operation]]:
    for route in routes:
        if (operation := operation_of(route.handler)) is not None:
            yield route, operation


def _operation(route: Route, operation: Operation) -> Json:
    described: Json = {"summary": operation.summary, "security": _security(route, operation)}
    if operation.description:
        described["description"] = operation.description
    if parameters := list(_parameters(route, operation)):
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, operation.body)
    return described | {"responses": _responses(route, operation)}


def _security(route: Route, operation: Operation) -> list[Json]:
    if operation.shows_more_with_a_token:
        return [{}, {"token": []}]
    by = {"token": "token", "operator": "token", "carrier": "carrier"}.get(route.asks)
    return [{by: []}] if by else []


def _parameters(route: Route, operation: Operation) -> Iterator[Json]:
    for name in route.ids:
        yield {"name": name, "in": "path", "required": True, "schema": NAMES.get(name, ID)}
    if route.asks == "carrier":
        yield {"name": "attempt", "in": "query", "required": True, "schema": {"type": "string", "format": "uuid"}}
    # Where a body can name the business, it is described there.
    in_body = operation.body is not None and "business_id" in operation.body.model_fields
    for model in (Acting if route.asks == "token" and not in_body else None, operation.query):
        for name, schema in _properties(model):
            description = schema.pop("description", None)
            described = {"name": name, "in": "query", "schema": schema}
            yield described | ({"description": description} if description else {})
    for header in operation.headers:
        yield {"name": header.name, "in": "header", "description": header.meaning, "schema": header.schema}


def _properties(model: type[BaseModel] | None) -> list[tuple[str, Json]]:
    """Members of a query string: what is null in a model is simply not there."""
    if model is None:
        return []
    described: Json = model.model_json_schema(schema_generator=_Plain)["properties"]
    return [(name, _not_null(schema)) for name, schema in described.items()]


def _not_null(schema: Json) -> Json:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    shown = {**schema, **kinds[0]} if len(kinds) == 1 else dict(schema)
    return {name: value for name, value in shown.items() if name != "anyOf" and (name, value) != ("default", None)}


def _request_body(operation: Operation, model: type[BaseModel]) -> Json:
    content: Json = {operation.body_type: {"schema": _reference(model)}}
    if operation.example is not None:
        content[operation.body_type]["example"] = operation.example
    if operation.settings_of_csv is not None:
        content[CSV] = {
            "schema": {"type": "array", "items": _reference(LeadRow)},
            # OpenAPI knows no query parameters of one media type alone.
            "x-query": _reference(operation.settings_of_csv),
        }
    return {"required": operation.body_required, "content": content}


def _responses(route: Route, operation: Operation) -> Json:
    responses = {str(status): _answer(content) for status, content in operation.answers.items()}
    for status in sorted(_refusals(route, operation)):
        problem = {"$ref": f"#/components/responses/Problem{status}"}
        if status in operation.problems:
            problem["description"] = operation.problems[status]
        responses.setdefault(str(status), problem)
    return responses


def _refusals(route: Route, operation: Operation) -> set[int]:
    """Statuses of what may go wrong, by what is asked for and of whom."""
    statuses = set(operation.problems)
    if route.asks in ("token", "operator"):
        statuses |= {401, 403, 422, 429, 503}
    if operation.shows_more_with_a_token:
        statuses |= {401, 429}
    if route.asks == "carrier":
        statuses |= {403, 422, 503}
    if route.ids or route.asks == "token":
        statuses.add(404)
    if operation.body is not None:
        statuses |= {400, 408, 413} | ({415, 422} if operation.body_type == JSON else set())
    return statuses


def _answer(content: Content) -> Json:
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    headers |= {name: _header(meaning, required=False) for name, meaning in content.headers.items()}
    shown: Json = {"description": content.description, "headers": headers}
    if content.media_type is not None:
        schema = _reference(content.model) if content.model else content.schema
        shown["content"] = {content.media_type: {"schema": schema}}
    return shown


def _header(meaning: str, *, required: bool = True) -> Json:
    return {"description": meaning, "required": required, "schema": {"type": "string"}}


def _problem(status: int) -> Json:
    """A refusal, with each of its codes as an example."""
    examples = {
        code: {"value": Problem(status, code, detail).document()} for code, detail in CODES[status].items()
    }
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if status in (429, 503):
        headers["Retry-After"] = _header("Seconds to wait before trying again.")
    if status == 401:
        headers["WWW-Authenticate"] = _header("Bearer")
    return {
        "description": " ".join(f"`{code}`: {detail}." for code, detail in CODES[status].items()),
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": _reference(ProblemShape), "examples": examples}},
    }


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": SCHEMA.format(model=model.__name__)}


def _schemas(routes: tuple[Route, ...]) -> Json:
    models: set[type[BaseModel]] = {ProblemShape, Lead, LeadRow}
    for _, operation in _pairs(routes):
        answers = {content.model for content in operation.answers.values()}
        models |= {model for model in (*answers, operation.body, operation.settings_of_csv) if model}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, found = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=SCHEMA, schema_generator=_Plain
    )
    schemas: Json = found["$defs"]
    return schemas


class _Plain(GenerateJsonSchema):
    def field_title_should_be_set(self, _: Any) -> bool:
        """No: a title made of the name says nothing more than the name."""
        return False
