"""Hostile input: each is refused with a clear problem, wherever it is sent; nothing is repeated, nothing stored."""

import gzip
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from yarl import URL

from control.document.described import JSON, name_of
from control.document.operations import operation_of
from control.routes import ROUTES
from tests.control.house import TWIML, Answer, House
from tests.control.tenants import everything, tenant

MARK = "<b>MARK'; DROP TABLE--</b>"
MARKED = MARK.encode()
SMALL = {"MAX_REQUEST_BYTES": "65536"}
BOMB = gzip.compress(b'{"name": "' + b"x" * 30_000_000 + b'"}')


@dataclass(frozen=True)
class Hostile:
    body: bytes
    status: int
    code: str
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def _json(body: bytes, code: str = "invalid_json") -> Hostile:
    return Hostile(body, 422, code)


def _type(content_type: str | None, body: bytes = MARKED) -> Hostile:
    return Hostile(body, 415, "unsupported_media_type", content_type)


def _encoded(body: bytes, encoding: str) -> Hostile:
    return Hostile(body, 415, "unsupported_encoding", headers={"Content-Encoding": encoding})


BODIES = {
    "no JSON": _json(MARKED),
    "half of it": _json(b'{"' + MARKED + b'": '),
    "two of it": _json(b'{} {"' + MARKED + b'": 1}'),
    "broken UTF-8": _json(b'{"name": "\xff\xfe' + MARKED + b'"}'),
    "overlong UTF-8": _json(b'{"name": "\xc0\xaf' + MARKED + b'"}'),
    "UTF-16": Hostile(
        f'{{"name": "{MARK}"}}'.encode("utf-16"), 422, "invalid_json", "application/json; charset=utf-16"
    ),
    "a NUL byte": _json(b'{"name": "\x00' + MARKED + b'"}'),
    "a NUL, escaped": _json(b'{"name": "' + MARKED + b'\\u0000"}', "invalid_input"),
    "half a surrogate pair": _json(b'{"name": "' + MARKED + b'\\ud800"}', "invalid_input"),
    "a name that is half a surrogate pair": _json(b'{"' + MARKED + b'\\udfff": 1}', "invalid_input"),
    "deep lists": _json(b"[" * 60_000),
    "deep objects": _json(b'{"a":' * 10_000),
    "deep and closed": _json(b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    "a member twice": _json(b'{"' + MARKED + b'": 1, "' + MARKED + b'": 2}'),
    "a member twice, within": _json(b'{"name": {"' + MARKED + b'": 1, "' + MARKED + b'": 2}}'),
    "NaN": _json(b'{"business_id": NaN}'),
    "Infinity": _json(b'{"business_id": -Infinity}'),
    "a number beyond floats": _json(b'{"business_id": 1e999}', "invalid_input"),
    "a number beyond columns": _json(b'{"business_id": 9223372036854775808}', "invalid_input"),
    "a number of 400 digits": _json(b'{"business_id": ' + b"9" * 400 + b"}", "invalid_input"),
    "a number of 5000 digits": _json(b'{"business_id": ' + b"9" * 5000 + b"}"),
    "a member that nobody knows": _json(b'{"' + MARKED + b'": 1}', "invalid_input"),
    "types that are wrong": _json(b'{"name": {"a": 1}, "business_id": ["' + MARKED + b'"]}', "invalid_input"),
    "a body above the limit": Hostile(b" " * 70_000, 413, "too_large"),
    "no type": _type(None),
    "plain text": _type("text/plain"),
    "a form": _type("application/x-www-form-urlencoded", b"name=" + MARKED),
    "a form in parts": _type("multipart/form-data; boundary=x", b"--x\r\n\r\n" + MARKED + b"\r\n--x--"),
    "XML": _type("application/xml", b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
    "a type that is none": _type(";;" + MARK),
    "a bomb": _encoded(BOMB, "gzip"),
    "a bomb in another coat": _encoded(zlib.compress(b"x" * 30_000_000), "deflate"),
    "two encodings": _encoded(BOMB, "identity, gzip"),
}
TAKE_JSON = [
    (method, path)
    for method, path, handler, _ in ROUTES
    if (operation := operation_of(name_of(handler))) and operation.body and operation.body_type == JSON
]


async def test_no_body_does_harm(
    open_house: Any, database: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    house = await (await open_house(database, redis_url, **SMALL)).ready()
    owner = await tenant(house)
    before = await everything(house.pool)
    capsys.readouterr()
    assert len(TAKE_JSON) > 15
    seen, wanted = {}, {}
    for name, hostile in BODIES.items():
        for method, path in TAKE_JSON:
            answer = await _post(house, method, path.format(**owner.owns), hostile)
            seen[name, path] = (answer.status, answer.data["code"], _is_clear(answer))
            wanted[name, path] = (hostile.status, hostile.code, True)
        assert await everything(house.pool) == before, name
    assert seen == wanted
    said = capsys.readouterr()
    assert "MARK" not in said.out + said.err
    assert "REQUEST_FAILED" not in said.out


def _is_clear(answer: Answer) -> bool:
    """A problem document, named faults where there are any, and nothing of what was sent."""
    faults = answer.data.get("errors", [])
    return (
        answer.headers["Content-Type"].startswith("application/problem+json")
        and bool(answer.headers["X-Request-Id"])
        and "MARK" not in answer.text
        and bool(faults) is (answer.status == 422)
        and all(fault.keys() == {"pointer", "detail"} for fault in faults)
    )


async def _post(house: House, method: str, path: str, hostile: Hostile) -> Answer:
    headers = dict(hostile.headers)
    options: dict[str, Any] = {"data": hostile.body}
    if hostile.content_type is None:
        options["skip_auto_headers"] = ("Content-Type",)
    else:
        headers["Content-Type"] = hostile.content_type
    return await house.ask(method, path, headers=headers, **options)


async def test_texts_are_kept_as_they_are_and_do_nothing(house: House) -> None:
    name = f"{MARK} <script>alert(1)</script> ' OR 1=1; \u202e \\ %s {{7*7}} $1"
    business = await house.ask("POST", "/api/businesses", json={"name": name})
    business_id = business.data["business_id"]
    assert business.data["name"] == name
    key = await house.ask("POST", f"/api/businesses/{business_id}/keys", json={"name": name})
    assert key.data["name"] == name
    lead = {
        "phone": "+972501234567",
        "lead_id": name,
        "name": name,
        "variables": {name: [name, {"a": 1.5, "b": 10**40}]},
    }
    body = {"leads": [lead], "name": name, "twiml": name}
    started = await house.ask("POST", "/api/runs", key.data["token"], json=body)
    run_id = started.data["run_id"]
    assert (await house.run(run_id))["name"] == name
    listed = await house.ask("GET", f"/api/runs/{run_id}/jobs")
    (job,) = listed.data["data"]
    assert {member: job[member] for member in lead} == lead
    stopped = await house.ask("POST", f"/api/runs/{run_id}/stop", json={"reason": name})
    assert stopped.status == 200
    for answer in (business, key, started, listed):
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kept = await house.pool.fetchrow(
        "SELECT reason, (SELECT count(*) FROM businesses) AS left FROM audit_log WHERE reason <> ''"
    )
    assert (kept["reason"], kept["left"]) == (name, 1)


HOSTILE_LEADS: list[tuple[Any, str]] = [
    ({"name": "a\x00b"}, "invalid_lead"),
    ({"lead_id": "\ud800"}, "invalid_lead"),
    ({"variables": {"a\x00": 1}}, "invalid_lead"),
    ({"variables": {"a": {"b": ["\udfff"]}}}, "invalid_lead"),
    ({"variables": [1]}, "invalid_lead"),
    ({"variables": {"a": json.loads("[" * 900 + "]" * 900)}}, "invalid_lead"),
    ({"name": 5}, "invalid_lead"),
    ({"name": "x" * 501}, "invalid_lead"),
    ({"lead_id": 10**255}, "invalid_lead"),
    ({"variables": {"a": "x" * 16_384}}, "invalid_lead"),
    ({"variables": {"a": [1e300]}}, "invalid_lead"),
    ({"variables": {"a": 1e-300}}, "invalid_lead"),
    ({"lead_id": 1.5}, "invalid_lead"),
    ({"phone": 972501234567}, "invalid_phone"),
    ({"phone": "+9725012345" + "6" * 100_000}, "invalid_phone"),
    ({"phone": MARK}, "invalid_phone"),
    ({"phone": ["+972501234567"]}, "invalid_phone"),
]


async def test_a_hostile_lead_is_rejected_by_its_position(house: House) -> None:
    leads = [{"phone": f"+9725012340{i:02}", **lead} for i, (lead, _) in enumerate(HOSTILE_LEADS)]
    body = {"business_id": await house.business(), "twiml": TWIML, "leads": [{"phone": "+972501234567"}, *leads]}
    answer = await house.ask("POST", "/api/runs", data=json.dumps(body), headers={"Content-Type": JSON})
    assert (answer.status, answer.data["queued"]) == (201, 1), answer.text
    expected = [{"index": i, "code": code} for i, (_, code) in enumerate(HOSTILE_LEADS, start=1)]
    assert answer.data["rejected"] == expected
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_jobs") == 1


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"phone,name\n+972501234567,\x00", "text/csv", "invalid_input"),
        (b"phone\n\xff\xfe", "text/csv; charset=utf-8", "invalid_encoding"),
        (b"phone\n1", "text/csv; charset=no-such-charset", "invalid_encoding"),
        (b'phone\n"+972501234567', "text/csv", "invalid_csv"),
        (b"phone\n" + b'"' + b"x" * 200_000 + b'"', "text/csv", "invalid_csv"),
        (b"name\nDana", "text/csv", "no_phone_column"),
    ],
)
async def test_a_hostile_csv(house: House, body: bytes, content_type: str, code: str) -> None:
    path = f"/api/runs?business_id={await house.business()}&twiml=%3CResponse/%3E"
    answer = await house.ask("POST", path, data=body, headers={"Content-Type": content_type})
    assert (answer.status, answer.data["code"]) == (422, code), answer.text
    assert answer.data["errors"]
    assert await house.pool.fetchval("SELECT count(*) FROM outbound_call_runs") == 0


PATHS = [
    ("GET", "/api/runs/%2e%2e%2fetc%2fpasswd", 404),
    ("GET", "/api/runs/%00", 404),
    ("GET", "/api/runs/%ff", 404),
    ("GET", "/api/runs/" + "9" * 4000, 404),
    ("GET", "/api/recordings/file/..%2f..%2fetc%2fpasswd", 404),
    ("GET", "/api/runs?limit=%D9%A1", 422),
    ("GET", "/api/runs?limit=1e3", 422),
    ("GET", "/api/runs?limit=" + "9" * 4000, 422),
    ("GET", "/api/runs?cursor=-1", 422),
    ("GET", "/api/runs?status=%00", 422),
    ("GET", "/api/runs?business_id=1;DROP", 404),
    ("GET", "/api/runs?business_id=%00", 404),
    ("GET", "/%00/..;/", 404),
    ("DELETE", "/api/runs", 405),
    ("TRACE", "/api/runs", 405),
    ("PUT", "/docs", 405),
]


async def test_a_bad_key_is_named_with_the_other_faults(house: House) -> None:
    run = (await house.start(await house.business(), ["+972501234567"])).data["run_id"]
    before = await everything(house.pool)
    for path, body, pointers in (
        ("/api/runs", {"business_id": 1, "leads": [], "url": "x"}, {"", "/leads", "/url"}),
        (f"/api/runs/{run}/retry", {"only": [], "junk": 1}, {"", "/only", "/junk"}),
        (f"/api/runs/{run}/retry", None, {""}),
    ):
        answer = await house.ask("POST", path, json=body, headers={"Idempotency-Key": "MARK\t\u200f"})
        assert answer.status == 422
        assert {fault["pointer"] for fault in answer.data["errors"]} == pointers
        assert _is_clear(answer)
    assert await everything(house.pool) == before


async def test_hostile_paths(house: House) -> None:
    for method, path, status in PATHS:
        answer = await house.ask(method, URL(path, encoded=True))
        assert (answer.status, answer.data["status"]) == (status, status), answer.text
        assert _is_clear(answer), path
        assert ("Allow" in answer.headers) is (status == 405)
