"""Who gets where: every route of the table, with every kind of token. A new route is in here by being in the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from control.requests.auth import Access
from control.routes import CALLBACKS, PROBES, ROUTES
from tests.control.house import OPERATOR, House, news, sid
from tests.control.tenants import NAMED_IN_QUERY, STATES, TABLE, Attempt, Tenant, everything, tenant

OpenHouse = Callable[..., Awaitable[House]]
# Whoever opens something to the world has to say so here.
OPEN_TO_ALL = {"/livez", "/readyz", "/api/health", "/metrics", "/api/openapi.json", "/docs"}


def test_nothing_is_served_but_what_the_tables_say(house: House) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in house.client.app.router.routes()
        if route.resource is not None
    }
    tables = {(method, path) for method, path, _ in TABLE}
    tables |= {(method, path) for path, _ in PROBES for method in ("GET", "HEAD")}
    tables |= {("POST", path) for path, _ in CALLBACKS}
    assert served == tables
    assert {path for path, _ in PROBES} == OPEN_TO_ALL
    assert len(TABLE) == len(set(TABLE)) == len(ROUTES)


async def refused(house: House, attempt: Attempt, token: str | None) -> tuple[Any, ...]:
    """(status, code, was SECURITY logged, was anything changed), of a request that must be refused."""
    before = await everything(house.pool)
    with capture_logs() as logs:
        status, code = await attempt.send(house, token)
    said = [entry for entry in logs if entry["event"] == "SECURITY"]
    assert all(token not in str(entry) for entry in logs if token)
    return status, code, len(said), await everything(house.pool) != before


async def all_refused(
    house: House, attempts: list[Attempt], token: str | None, expected: Callable[[Attempt], tuple[int, str, int]]
) -> None:
    """Every attempt is answered as expected (a HEAD without the code), and changes nothing."""
    seen, wanted = {}, {}
    for attempt in attempts:
        name = f"{attempt.method} {attempt.path}{attempt.query} {attempt.business_in_body or ''}"
        status, code, said = expected(attempt)
        seen[name] = await refused(house, attempt, token)
        wanted[name] = (status, code if attempt.method != "HEAD" else None, said, False)
    assert seen
    assert seen == wanted


def all_of(owner: Tenant, *, access: set[Access] | None = None) -> list[Attempt]:
    return [Attempt(method, path, owner) for method, path, asks in TABLE if access is None or asks in access]


def operator_only_or(code: str) -> Callable[[Attempt], tuple[int, str, int]]:
    asks = {(method, path): access for method, path, access in TABLE}

    def expected(attempt: Attempt) -> tuple[int, str, int]:
        is_operators = asks[attempt.method, attempt.path] is Access.OPERATOR
        return 403, "operator_only" if is_operators else code, 1

    return expected


async def test_without_a_token_nobody_gets_anywhere(house: House) -> None:
    await all_refused(house, all_of(await tenant(house)), None, lambda _: (401, "no_token", 0))


@pytest.mark.parametrize("token", ["dialer_key_" + "x" * 52, OPERATOR[:-1], OPERATOR + "x", "\u05d0"])
async def test_a_wrong_token_is_worth_nothing(house: House, token: str) -> None:
    await all_refused(house, all_of(await tenant(house)), token, lambda _: (401, "bad_token", 1))


async def test_a_key_that_may_only_read_changes_nothing_not_even_of_its_own(house: House) -> None:
    mine = await tenant(house)
    attempts = all_of(mine, access={Access.WRITE, Access.OPERATOR})
    await all_refused(house, attempts, mine.read_only, operator_only_or("read_only"))


@pytest.mark.parametrize("role", ["member", "read_only"])
async def test_what_belongs_to_another_business_is_refused_wherever_it_is_named(house: House, role: str) -> None:
    mine, other = await tenant(house), await tenant(house)
    access = {Access.READ, Access.OPERATOR} if role == "read_only" else set(Access)
    named = [attempt for attempt in all_of(other, access=access) if attempt.names_an_object]
    in_query = [Attempt("GET", path, mine, f"?{name}={other.owns[name]}") for path, name in NAMED_IN_QUERY.items()]
    await all_refused(house, [*named, *in_query], getattr(mine, role), operator_only_or("not_yours"))


async def test_a_key_cannot_act_for_another_business_by_naming_it(house: House) -> None:
    """Nor about objects of its own in the other's name."""
    mine, other = await tenant(house), await tenant(house)
    query = f"?business_id={other.business_id}"
    attempts = [Attempt(method, path, mine, query) for method, path, _ in TABLE]
    in_body = [
        Attempt(method, path, mine, business_in_body=other.business_id)
        for method, path, access in TABLE
        if method == "POST" and access is Access.WRITE
    ]
    await all_refused(house, [*attempts, *in_body], mine.member, operator_only_or("not_yours"))


async def test_lists_hold_only_what_is_the_callers(house: House) -> None:
    mine, other = await tenant(house), await tenant(house)
    for method, path, access in TABLE:
        if method == "GET" and access is Access.READ and "{" not in path and path != "/api/events":
            answer = await house.ask("GET", path, mine.member)
            assert answer.status == 200, path
            assert other.owns["call_sid"] not in answer.text, path
            listed = answer.data.get("data", [answer.data])
            assert {item.get("business_id", mine.business_id) for item in listed} == {mine.business_id}, path


async def test_whoever_may_gets_there(house: House) -> None:
    """Each route once by the business's own key, and once by the operator, each time with a new business."""
    for method, path, access in TABLE:
        state = STATES.get(path, "running")
        by_key, by_operator = await tenant(house, state=state), await tenant(house, state=state)
        own = await Attempt(method, path, by_key).send(house, by_key.member)
        if access is Access.OPERATOR:
            assert own == (403, "operator_only"), path
        else:
            assert own[0] < 300, (method, path, own)
        if access is Access.READ:
            read = await Attempt(method, path, by_key).send(house, by_key.read_only)
            assert read == own, (method, path, read)
        query = f"?business_id={by_operator.business_id}" if access is not Access.OPERATOR else ""
        operators = await Attempt(method, path, by_operator, query).send(house, OPERATOR)
        assert operators[0] < 300, (method, path, operators)


async def test_a_callback_without_the_carriers_signature_changes_nothing(house: House) -> None:
    await tenant(house)
    attempt_id = await house.pool.fetchval("SELECT id FROM outbound_call_attempts")
    before = await everything(house.pool)
    for path, _ in CALLBACKS:
        for signature in ("-", "forged", "\u05d0"):
            with capture_logs() as logs:
                answer = await house.callback(
                    f"{path}?attempt={attempt_id}", news(sid(), 3, "completed"), signature
                )
            assert (answer.status, answer.data["code"]) == (403, "bad_signature")
            assert [entry["event"] for entry in logs] == ["SECURITY"]
    assert await everything(house.pool) == before


async def test_a_refusal_is_logged_with_who_it_was(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    mine, other = await tenant(house), await tenant(house)
    key_id = await house.pool.fetchval(
        "SELECT id FROM api_keys WHERE business_id = $1 AND role = 'member' AND prefix <> 'x'", mine.business_id
    )
    capsys.readouterr()
    assert await Attempt("POST", "/api/runs/{run_id}/stop", other).send(house, mine.member) == (403, "not_yours")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "SECURITY" in line]
    assert f"actor=key:{key_id}" in line
    assert f"/api/runs/{other.owns['run_id']}/stop" in line


async def test_a_key_that_was_revoked_a_moment_ago_is_refused_by_every_control(
    open_house: OpenHouse, database: str, redis_url: str
) -> None:
    here = await (await open_house(database, redis_url)).ready()
    elsewhere = await (await open_house(database, redis_url)).ready()
    mine = await tenant(here)
    reading = Attempt("GET", "/api/runs/{run_id}", mine)
    for token in (mine.member, mine.read_only):
        for house in (here, elsewhere):
            assert await reading.send(house, token) == (200, None)
    for key in (await here.ask("GET", f"/api/businesses/{mine.business_id}/keys")).data["data"]:
        assert (await here.ask("DELETE", f"/api/keys/{key['key_id']}")).status == 204
        for house in (elsewhere, here):
            token = {mine.member[:17]: mine.member, mine.read_only[:17]: mine.read_only}.get(key["prefix"], "none")
            assert await reading.send(house, token) == (401, "bad_token")
