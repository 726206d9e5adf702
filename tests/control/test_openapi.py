"""/api/openapi.json says what is so: every route is in it, and every answer is as it says."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

import control
from control.document import payloads, shapes
from control.document.openapi import Route, routes_of
from control.document.operations import OPERATIONS, operation_of
from control.requests.problems import CODES
from control.resources import jobs, recordings, runs
from control.routes import CALLBACKS, PROBES, ROUTES
from tests.control.house import Answer, House
from tests.control.recorded import give_up, recorded_calls

ALL_ROUTES = routes_of(PROBES, CALLBACKS, ROUTES)
SOURCE = Path(control.__file__).parent


def test_every_route_is_described_and_every_description_is_of_a_route() -> None:
    described = {name for operations in OPERATIONS.values() for name in operations}
    assert {route.handler for route in ALL_ROUTES} == described


def test_the_words_are_the_same_everywhere() -> None:
    assert get_args(payloads.RunStatus) == runs.STATUSES
    assert get_args(payloads.JobStatus) == jobs.STATUSES
    assert get_args(payloads.RecordingStatus) == recordings.STATUSES
    assert set(get_args(payloads.Disposition)) == set(runs.DISPOSITIONS.values())


def test_every_code_is_described() -> None:
    raised = r"(?:conflict|forbidden|unavailable|unauthorized|too_many)\(\s*"
    made = re.compile(rf'(?:{raised}|Problem\(\s*\d+, |code=|not_found\(\s*"[^"]*", )"(\w+)"')
    used = {code for file in SOURCE.rglob("*.py") for code in made.findall(file.read_text("utf-8"))}
    assert len(used) > 20
    # A defect of ours has no description.
    assert used - {"internal_error"} <= {code for codes in CODES.values() for code in codes}


async def test_it_is_there_for_everybody_and_known_by_its_tag(house: House) -> None:
    first = await house.ask("GET", "/api/openapi.json", None)
    assert (first.status, first.headers["Content-Type"]) == (200, "application/json")
    assert first.data["openapi"].startswith("3.1")
    assert set(first.data["paths"]) == {route.path for route in ALL_ROUTES}
    names = [each["operationId"] for methods in first.data["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names)) == len(ALL_ROUTES)
    again = await house.ask("GET", "/api/openapi.json", None, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.text) == (304, "")
    other = await house.ask("GET", "/api/openapi.json", None, headers={"If-None-Match": '"another"'})
    assert (other.status, other.text) == (200, first.text)


async def test_it_is_there_without_a_schema(open_house: Any, empty_database: str, redis_url: str) -> None:
    house = await open_house(empty_database, redis_url)
    assert (await house.ask("GET", "/api/openapi.json", None)).status == 200
    assert (await house.ask("GET", "/docs", None)).status == 200


class Witness:
    """Asks, and holds every answer to its description: no member is missing, or of another type, or not described."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.seen: set[tuple[str, int]] = set()

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        answer = await self._house.ask(method, path, **options)
        route = _route(method, path.partition("?")[0])
        operation = operation_of(route.handler)
        assert operation is not None
        if answer.status in operation.answers:
            content = operation.answers[answer.status]
            if content.model is not None:
                content.model.model_validate_json(answer.text, extra="forbid")
        else:
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            shapes.Problem.model_validate_json(answer.text, extra="forbid")
        self.seen.add((route.handler, answer.status))
        return answer


def _route(method: str, path: str) -> Route:
    """The route of a path; one without a placeholder wins."""
    fitting = [
        route
        for route in sorted(ALL_ROUTES, key=lambda route: len(route.ids))
        if route.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", route.path), path)
    ]
    return fitting[0]


async def test_every_answer_is_as_described(house: House) -> None:
    witness = Witness(house)
    ask = witness.ask
    for path in ("/livez", "/readyz", "/api/health"):
        assert (await ask("GET", path)).status == 200
    await _businesses_and_keys(witness)
    calls = await recorded_calls(house, 3)
    run_id = await house.pool.fetchval("SELECT max(id) FROM outbound_call_runs")
    (listed,) = (await ask("GET", "/api/runs?limit=1")).data["data"]
    assert listed["run_id"] == run_id
    first = (await ask("GET", f"/api/runs/{run_id}/jobs")).data["data"][0]
    assert (await ask("GET", f"/api/jobs/{first['job_id']}")).data["attempts"][0]["events"]
    assert (await ask("GET", f"/api/outbound_calls/counts?business_id={listed['business_id']}")).status == 200
    assert (await ask("GET", "/api/recordings")).data["data"]
    assert (await ask("GET", f"/api/recordings/file/{calls[0].call}")).status == 202
    await give_up(house, calls[0].call)
    assert (await ask("POST", f"/api/recordings/{calls[0].call}/retry")).status == 200
    await _what_is_done_to_runs(witness, run_id, listed["business_id"])
    daemon = await house.pool.fetchval("SELECT id FROM dialer_daemons LIMIT 1")
    assert (await ask("GET", f"/api/daemons/{daemon}")).status == 200
    assert (await ask("POST", f"/api/daemons/{daemon}/drain")).status == 200

    of_json = {
        (handler, status)
        for operations in OPERATIONS.values()
        for handler, operation in operations.items()
        for status, content in operation.answers.items()
        if content.model is not None and status < 500
    }
    assert of_json <= witness.seen


async def _businesses_and_keys(witness: Witness) -> None:
    made = await witness.ask("POST", "/api/businesses", json={"name": "Acme"})
    path = f"/api/businesses/{made.data['business_id']}"
    await witness.ask("PATCH", path, json={"max_concurrent_calls": 7})
    await witness.ask("GET", path)
    await witness.ask("POST", f"{path}/keys", json={"name": "crm"})
    await witness.ask("GET", f"{path}/keys")
    await witness.ask("GET", "/api/businesses")


async def _what_is_done_to_runs(witness: Witness, ended: int, business_id: int) -> None:
    again = (await witness.ask("POST", f"/api/runs/{ended}/retry", json={"only": ["answered"]})).data["run_id"]
    for action in ("pause", "resume", "cancel", "force-cancel", "stop"):
        assert (await witness.ask("POST", f"/api/runs/{again}/{action}")).status == 200
    leads = [{"phone": "+972501234567"}, {"phone": "nobody"}, 7]
    body = {"business_id": business_id, "twiml": "<Response/>", "leads": leads}
    started = await witness.ask("POST", "/api/runs", json=body)
    assert len(started.data["rejected"]) == 2
    await witness.ask("GET", f"/api/runs/{started.data['run_id']}")
    assert (await witness.ask("GET", "/api/outbound_calls/jobs/active")).status == 200
    await witness.ask("POST", "/api/outbound/stop-queue", json={"run_id": started.data["run_id"]})
    await witness.ask("POST", "/api/outbound/cleanup-stuck-jobs")
    assert (await witness.ask("GET", "/api/outbound_calls/jobs/active")).data["code"] == "no_active_run"


async def test_what_is_answered_when_redis_is_away_is_as_described(open_house: Any, database: str) -> None:
    house = await (await open_house(database, "redis://127.0.0.1:1")).ready()
    witness = Witness(house)
    for path in ("/readyz", "/api/health"):
        assert (await witness.ask("GET", path)).status == 503


@pytest.mark.parametrize(
    ("path", "pointers"),
    [
        ("/api/runs?stauts=paused", ["/stauts"]),
        ("/api/runs?status=paused&status=running&lim=3", ["/status", "/lim"]),
        ("/api/runs/1?limit=5", ["/limit"]),
        ("/api/businesses?status=running", ["/status"]),
        ("/api/runs?%3Cb%3E=1", [""]),
    ],
)
async def test_a_parameter_that_is_not_known_is_refused(house: House, path: str, pointers: list[str]) -> None:
    answer = await house.ask("GET", path)
    assert (answer.status, answer.data["code"]) == (422, "invalid_input")
    assert [fault["pointer"] for fault in answer.data["errors"]] == pointers
    assert "<b>" not in answer.text


async def test_settings_in_the_query_string_are_for_a_csv(house: House) -> None:
    path = f"/api/runs?business_id={await house.business()}&concurrency=2&twiml=%3CResponse/%3E"
    body = {"leads": [{"phone": "+972501234567"}], "twiml": "<Response/>"}
    refused = await house.ask("POST", path, json=body)
    assert [fault["pointer"] for fault in refused.data["errors"]] == ["/concurrency", "/twiml"]
    taken = await house.ask("POST", path, data="phone\n+972501234567", headers={"Content-Type": "text/csv"})
    assert taken.status == 201
