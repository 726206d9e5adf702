"""GET /api/runs/{run_id}/report.csv."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from control.__main__ import runner_of
from control.app import build
from control.context import CONTEXT
from control.database import MOST_CONNECTIONS
from control.resources.report import COLUMNS, ROWS_AT_ONCE, neutral
from tests.control.gate import gate_before
from tests.control.house import OPERATOR, TWIML, Answer, House, news, settings_for, sid
from tests.support.runs import Run, Worker, add_business, add_run
from tests.support.waiting import eventually


async def _report(house: House, run_id: int, token: str | None = OPERATOR) -> Answer:
    return await house.ask("GET", f"/api/runs/{run_id}/report.csv", token)


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_what_a_report_says(house: House) -> None:
    business = await house.business(max_concurrent_calls=3, timezone="Asia/Jerusalem")
    leads = [
        {"phone": "+972501234567", "lead_id": "7", "name": 'דנה "דני", לוי', "variables": {"עיר": "חיפה"}},
        {"phone": "+972501234568", "lead_id": "=cmd|' /C calc'!A0", "name": "+972 50", "variables": {"a": "=1"}},
        {"phone": "+972501234569", "name": "two\r\nlines"},
    ]
    body = {"business_id": business, "leads": leads, "twiml": TWIML}
    run_id = (await house.ask("POST", "/api/runs", json=body)).data["run_id"]
    worker = await Worker.join(house.pool)
    await worker.claim()
    answered, busy = await worker.intend(run_id, [1, 2])
    call = sid()
    await house.call_status(answered["attempt_id"], news(call, 3, "completed", CallDuration="17"))
    await house.call_status(busy["attempt_id"], news(sid(), 3, "failed", ErrorCode="21217"))
    await house.ask("POST", f"/api/runs/{run_id}/stop", json={"reason": "the wrong list"})
    await house.pool.execute(
        "UPDATE outbound_call_jobs SET ended_at = '2025-01-02T22:30:00.5Z' WHERE name LIKE 'ד%'"
    )

    answer = await _report(house, run_id)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="run-{run_id}.csv"'
    assert answer.text.split("\r\n")[0] == ",".join(COLUMNS)
    first, second, third = _rows(answer.text)
    assert (first["lead_id"], first["phone"], first["name"]) == ("7", "+972501234567", 'דנה "דני", לוי')
    assert json.loads(first["variables"]) == {"עיר": "חיפה"}
    assert (first["status"], first["disposition"], first["call_sid"]) == ("completed", "answered", call)
    assert (first["duration_seconds"], first["attempts_made"], first["error_code"]) == ("17", "1", "")
    assert first["ended_at"] == "2025-01-03T00:30:00+02:00"
    assert (second["lead_id"], second["name"]) == ("'=cmd|' /C calc'!A0", "'+972 50")
    assert json.loads(second["variables"]) == {"a": "=1"}
    assert (second["disposition"], second["error_code"]) == ("failed", "21217")
    assert (third["name"], third["variables"], third["dialed_at"]) == ("two\r\nlines", "", "")
    assert (third["status"], third["disposition"]) == ("cancelled", "not_dialed")
    assert third["error_message"] == "the run was stopped by operator: the wrong list"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        *(
            (cell, f"'{cell}")
            for cell in ("=1+1", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "+", "+12 34", "+1\n")
        ),
        *((cell, cell) for cell in ("+972501234567", "", "a=1", "1-1", "'=1", "דנה", "x@example.com", "{}")),
    ],
)
def test_formulas_are_neutralised_and_numbers_are_not(cell: str, shown: str) -> None:
    assert neutral(cell) == shown


async def test_jobs_that_are_not_swept_yet_are_where_they_are_going(house: House) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 3)
    # As by hand: nobody is woken to sweep, and the report must not need it.
    async with house.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM outbound_call_jobs FOR UPDATE")
        await house.pool.execute("UPDATE outbound_call_runs SET status = 'stopped' WHERE id = $1", run.run_id)
        rows = _rows((await _report(house, run.run_id)).text)
    assert {(row["status"], row["disposition"], row["error_message"]) for row in rows} == {
        ("cancelled", "not_dialed", "the run was ended: stopped")
    }
    assert all(row["ended_at"].endswith("+00:00") for row in rows)


@pytest.mark.parametrize("jobs", [0, 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 1])
async def test_every_job_is_there_once_in_the_list_s_order(house: House, jobs: int) -> None:
    run = await add_run(house.pool, await add_business(house.pool), [f"+1212{n:07}" for n in range(jobs)])
    rows = _rows((await _report(house, run.run_id)).text)
    assert [int(row["job_id"]) for row in rows] == list(run.jobs)


async def test_a_time_zone_that_nobody_knows_is_utc(house: House) -> None:
    business = await add_business(house.pool)
    await house.pool.execute("UPDATE businesses SET timezone = 'Mars/Olympus'")
    [row] = _rows((await _report(house, (await add_run(house.pool, business, 1)).run_id)).text)
    assert row["created_at"].endswith("+00:00")


async def test_who_may_and_what_exists(house: House) -> None:
    mine, other = await add_business(house.pool), await add_business(house.pool)
    run = await add_run(house.pool, mine, 1)
    assert (await _report(house, run.run_id, await house.key(mine, "read_only"))).status == 200
    assert (await _report(house, run.run_id, await house.key(other))).status == 403
    assert (await _report(house, run.run_id, None)).status == 401
    assert (await _report(house, run.run_id + 1)).status == 404
    assert (await house.ask("GET", "/api/runs/x/report.csv")).status == 404
    assert (await house.ask("GET", f"/api/runs/{run.run_id}/report.csv?business_id={other}")).status == 404


async def _long_run(pool: Any) -> Run:
    """A report of it is larger than all that the sockets on its way take in."""
    run = await add_run(pool, await add_business(pool), 0)
    await pool.execute(
        """INSERT INTO outbound_call_jobs (run_id, business_id, position, phone, name)
           SELECT $1, $2, n, '+1' || (2000000000 + n), repeat('x', 1000) FROM generate_series(1, 20000) AS n""",
        run.run_id,
        run.business_id,
    )
    return run


@asynccontextmanager
async def _opened(port: int | None, run: Run, version: str = "1.1") -> AsyncIterator[asyncio.StreamReader]:
    """A report of which nothing is read yet but the status line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    try:
        path = f"/api/runs/{run.run_id}/report.csv"
        writer.write(f"GET {path} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {OPERATOR}\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"200"
        yield reader
    finally:
        writer.transport.abort()


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def test_clients_that_do_not_read_hold_no_connection_of_the_database(house: House) -> None:
    run = await _long_run(house.pool)
    async with AsyncExitStack() as open_reports:
        for _ in range(MOST_CONNECTIONS + 3):
            await open_reports.enter_async_context(_opened(house.client.port, run))
        for _ in range(MOST_CONNECTIONS):
            assert (await house.run(run.run_id))["queued"] == 20_000
        in_transactions = await house.pool.fetchval(
            """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"""
        )
        assert in_transactions == 0


async def test_a_client_that_goes_away_ends_it(
    database: str, redis_url: str, pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As control serves in life: there, unlike under the test server, nobody cancels the handler for it."""
    run = await _long_run(pool)
    app = build(settings_for(database, redis_url))
    runner = runner_of(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await eventually(lambda: app[CONTEXT].schema.current)
        async with _opened(runner.addresses[0][1], run) as reader:
            await reader.read(4096)
        said = ""

        def is_cut() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return "REPORT_CUT" in said

        await eventually(is_cut)
        assert "REQUEST_FAILED" not in said
    finally:
        await runner.cleanup()


async def test_an_error_midway_does_not_look_like_the_end(open_house: Any, database: str, redis_url: str) -> None:
    async with gate_before(database) as gate:
        house = await (await open_house(gate.dsn, redis_url)).ready()
        run = await _long_run(house.pool)
        async with _opened(house.client.port, run) as modern, _opened(house.client.port, run, "1.0") as old:
            await gate.shut()
            for reader in (modern, old):
                # Chunked or not: after a reset nobody takes what came for all there is.
                with pytest.raises(ConnectionResetError):
                    await _read_all(reader)
        refused = await _report(house, run.run_id)
        assert (refused.status, refused.data["code"]) == (503, "dependency_away")
        await gate.open()

        async def is_back() -> bool:
            return bool((await house.ask("GET", f"/api/runs/{run.run_id}")).status == 200)

        await eventually(is_back)
        assert len(_rows((await _report(house, run.run_id)).text)) == 20_000
