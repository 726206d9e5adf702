"""GET /metrics: what is told to Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import sql
from dialer.rules.tally import Tally
from tests.control.gate import gate_before
from tests.control.house import House, news, sid
from tests.control.scraping import busy, daemon_with, scrape
from tests.support.runs import add_business, add_run

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
OpenHouse = Callable[..., Awaitable[House]]


async def test_the_document_lists_what_is_there_and_nothing_else(house: House) -> None:
    (attempt,) = await house.attempts()
    assert (await house.call_status(attempt, news(sid(), 3, "busy"))).status == 204
    await daemon_with(house.pool, busy())
    there = {}
    for name, family in (await scrape(house)).families.items():
        if name.startswith("dialer_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            there[name + ("_total" if family.type == "counter" else "")] = (family.type, labels)
    rows = re.findall(r"^\| `(dialer_\w+)` \| (\w+) \|([^|]*)\| \S", DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == there


async def test_nothing_is_told_by_business(house: House) -> None:
    async def series() -> int:
        families = (await scrape(house)).families.values()
        labels = [s.labels for f in families for s in f.samples]
        assert not [found for found in labels if "business" in str(found).replace("/api/businesses", "")]
        return sum(len(family.samples) for family in families)

    await house.attempts()
    await series()
    before = await series()
    for _ in range(3):
        await add_run(house.pool, await add_business(house.pool), 2)
    assert await series() == before


async def test_it_wants_its_token_when_one_is_set(open_house: OpenHouse, database: str, redis_url: str) -> None:
    house = await (await open_house(database, redis_url, METRICS_TOKEN="scraper")).ready()
    assert (await house.ask("GET", "/metrics", None)).status == 401
    for wrong in ("operator-token", "scraper2", "", "\u05d0"):
        assert (await house.ask("GET", "/metrics", None, headers=_bearer(wrong))).status == 401
    assert (await scrape(house, "scraper")).values("dialer_postgres_up") == [1]


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_calls_and_callbacks_are_counted_by_what_became_of_them(house: House) -> None:
    answered, busy_one, open_one = await house.attempts(3)
    call = sid()
    for sequence, status in enumerate(("initiated", "ringing", "in-progress", "completed")):
        await house.call_status(answered, news(call, sequence, status))
    await house.call_status(answered, news(call, 3, "completed"))
    await house.call_status(busy_one, news(sid(), 3, "busy"))
    await house.call_status(open_one, news(sid(), 1, "ringing"))
    await house.call_status(uuid4(), news(sid(), 3, "completed"))
    await house.callback(f"/webhook/call_status?attempt={open_one}", news(sid(), 3, "busy"), "forged")
    figures = await scrape(house)
    assert figures.by("disposition", "dialer_calls_total") == {"answered": 1, "busy": 1}
    assert figures.by("result", "dialer_callbacks_total") == {"taken": 6, "repeat": 1, "orphan": 1}
    # The carrier's times of these events are years ago.
    assert figures.by("result", "dialer_callback_age_seconds_count") == {
        "taken": 6,
        "repeat": 1,
        "orphan": 1,
    }
    assert figures.total("dialer_callback_age_seconds_bucket", le="3600.0") == 0
    refused = figures.by("status", "dialer_http_requests_total", route="/webhook/call_status")
    assert refused == {"204": 8, "403": 1}


async def test_daemons_tell_theirs_by_their_rows_and_leave_it_behind(house: House) -> None:
    one, two = await daemon_with(house.pool, busy()), await daemon_with(house.pool, busy())
    await house.pool.execute(sql.query("end_daemon"), two)
    silent = uuid4()
    await house.pool.execute(sql.query("register_daemon"), silent, "host-2", 43)
    figures = await scrape(house)
    for name in (
        "dialer_create_answers_total",
        "dialer_handoff_seconds_count",
        "dialer_beat_interval_seconds_count",
    ):
        assert figures.by("daemon", name) == {str(one)[:8]: 1, str(two)[:8]: 1}
    assert figures.values("dialer_handoff_seconds_bucket", daemon=str(one)[:8], le="0.05") == [1]
    assert figures.values("dialer_handoff_seconds_bucket", daemon=str(one)[:8], le="0.03") == [0]
    assert figures.by("daemon", "dialer_daemon_info") == {str(one)[:8]: 1, str(silent)[:8]: 1}
    assert figures.values("dialer_daemons_live") == [2]
    await house.pool.execute(
        "UPDATE dialer_daemons SET last_seen_at = now() - interval '1 hour' WHERE id = $1", two
    )
    assert str(two)[:8] not in (await scrape(house)).by("daemon", "dialer_create_answers_total")


async def test_figures_of_a_version_that_counts_otherwise_are_taken_as_they_are(house: House) -> None:
    strange = {
        "counters": {"creates": {"placed": 3, "teleported": 1}, "dreams": {"deep": 1}},
        "histograms": {"handoff_seconds": {"bounds": [1.0], "counts": [2, 1], "total": 4.5}},
    }
    worker = await daemon_with(house.pool, Tally())
    await house.pool.execute(sql.query("show_tally"), worker, json.dumps(strange))
    figures = await scrape(house)
    assert figures.by("outcome", "dialer_create_answers_total") == {"placed": 3, "teleported": 1}
    assert figures.by("le", "dialer_handoff_seconds_bucket") == {"1.0": 2, "+Inf": 3}
    assert figures.values("dialer_beat_interval_seconds_count") == []


async def test_it_answers_whatever_is_away(open_house: OpenHouse, database: str, redis_url: str) -> None:
    async with gate_before(database) as gate:
        house = await (await open_house(gate.dsn, "unix:///nowhere/redis.sock")).ready()
        (attempt,) = await house.attempts()
        assert (await house.call_status(attempt, news(sid(), 3, "busy"))).status == 204
        there = await scrape(house)
        assert (there.values("dialer_postgres_up"), there.values("dialer_redis_up")) == ([1], [0])
        await gate.shut()
        assert (await house.call_status(attempt, news(sid(), 3, "busy"))).status == 503
        figures = await scrape(house)
        assert figures.values("dialer_postgres_up") == [0]
        assert figures.values("dialer_call_limit") == figures.values("dialer_daemons_live") == []
        assert figures.by("disposition", "dialer_calls_total") == {"busy": 1}
        assert figures.by("result", "dialer_callbacks_total") == {"taken": 1, "not_stored": 1}
        assert figures.families["process_cpu_seconds"].samples


async def test_it_answers_before_there_is_a_schema(
    open_house: OpenHouse, empty_database: str, redis_url: str
) -> None:
    figures = await scrape(await open_house(empty_database, redis_url))
    assert figures.values("dialer_postgres_up") == [1]
    assert figures.values("dialer_schema_current") == [0]


async def test_paths_and_methods_of_the_clients_making_are_no_labels(house: House) -> None:
    for number in range(3):
        await house.ask("GET", f"/api/runs/{number + 1}")
        await house.ask("GET", f"/nowhere/{number}")
        await house.ask(("PROPFIND", "MKCOL", "REPORT")[number], "/livez", None)
        await house.ask("DELETE", "/livez", None)
    figures = await scrape(house)
    assert figures.by("status", "dialer_http_requests_total", route="/api/runs/{run_id}") == {"404": 3}
    assert figures.by("route", "dialer_http_requests_total", status="404") == {
        "/api/runs/{run_id}": 3,
        "unmatched": 3,
    }
    assert figures.by("method", "dialer_http_requests_total", status="405") == {"other": 3, "DELETE": 3}
    assert figures.total("dialer_http_request_seconds_count", route="/api/runs/{run_id}") == 3
