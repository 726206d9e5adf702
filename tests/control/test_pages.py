"""Lists in pages: each a fixed number of statements, and each cursor a place in the list."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from yarl import URL

from control.context import CONTEXT
from control.document.payloads import LARGEST_PAGE
from tests.control.counting import Counted
from tests.control.house import House, news, sid
from tests.support.runs import Worker, add_business, add_run


async def test_lists_of_runs_and_jobs_come_in_pages(house: House) -> None:
    business = await add_business(house.pool)
    runs = [await add_run(house.pool, business, 3) for _ in range(5)]
    await house.pool.execute("UPDATE outbound_call_runs SET status = 'paused' WHERE id = $1", runs[2].run_id)
    await add_run(house.pool, await add_business(house.pool), 1)
    token = await house.key(business)

    async def all_of(path: str, key: str) -> list[int]:
        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await house.ask("GET", f"{path}limit=2&cursor={cursor}", token)).data
            seen += [item[key] for item in page["data"]]
            cursor = page["next_cursor"]
        return seen

    assert await all_of("/api/runs?", "run_id") == [run.run_id for run in reversed(runs)]
    assert await all_of("/api/runs?status=paused&", "run_id") == [runs[2].run_id]
    assert await all_of(f"/api/runs/{runs[0].run_id}/jobs?", "job_id") == list(runs[0].jobs)
    assert await all_of(f"/api/runs?business_id={business}&status=pending&", "run_id") == [
        run.run_id for run in reversed(runs) if run is not runs[2]
    ]
    assert len((await house.ask("GET", "/api/runs")).data["data"]) == 6
    assert len((await house.ask("GET", "/api/runs?status=pending")).data["data"]) == 5
    assert len((await house.ask("GET", f"/api/runs?business_id={business}")).data["data"]) == 5
    wrong = await house.ask("GET", "/api/runs?status=nonsense&limit=0")
    assert {fault["pointer"] for fault in wrong.data["errors"]} == {"/status", "/limit"}


async def test_more_than_a_page_holds_is_a_whole_page(house: House) -> None:
    run = await add_run(house.pool, await add_business(house.pool), LARGEST_PAGE + 1)
    for limit in (LARGEST_PAGE + 1, 10**17):
        page = (await house.ask("GET", f"/api/runs/{run.run_id}/jobs?limit={limit}")).data
        assert len(page["data"]) == LARGEST_PAGE
        rest = await house.ask("GET", f"/api/runs/{run.run_id}/jobs?limit={limit}&cursor={page['next_cursor']}")
        assert [job["job_id"] for job in rest.data["data"]] == [run.jobs[-1]]


async def test_reads_are_as_many_statements_whatever_there_is_to_read(house: House, database: str) -> None:
    business = await add_business(house.pool, limit=100)
    token = await house.key(business)
    runs = [await add_run(house.pool, business, 200) for _ in range(30)]
    run, worker = runs[-1], await Worker.join(house.pool)
    while run.run_id not in worker.epochs:
        await worker.claim()
    for row in await worker.intend(run.run_id, list(range(1, 51))):
        await house.call_status(row["attempt_id"], news(sid(), 1, "ringing"))
    counted = Counted(database)
    await counted.open()
    house.client.app[CONTEXT].database = counted

    async def asked(path: str, many: int | None = None) -> list[str]:
        counted.asked.clear()
        answer = await house.ask("GET", path, token)
        assert answer.status == 200, answer.text
        assert many is None or len(answer.data["data"]) == many
        return [name for name in counted.asked if name != "find_api_key"]

    try:
        one = f"/api/runs/{run.run_id}"
        assert await asked(one) == ["show_run"]
        assert await asked(f"/api/outbound_calls/jobs/{run.run_id}/status") == ["show_run"]
        assert await asked("/api/outbound_calls/jobs/active") == ["active_run_of_business"]
        assert await asked("/api/outbound_calls/counts") == ["counts"]
        assert await asked(f"/api/jobs/{run.jobs[0]}") == ["show_job"]
        for many in (1, 30):
            assert await asked(f"/api/runs?limit={many}", many) == ["page_of_runs_of_business"]
        for many in (1, 50):
            calling = ["owner_of_run", "page_of_jobs_with_status"]
            assert await asked(f"{one}/jobs?status=calling&limit={many}", many) == calling
        for many in (1, 200):
            assert await asked(f"{one}/jobs?limit={many}", many) == ["owner_of_run", "page_of_jobs"]
    finally:
        await counted.close()


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1e3", "9" * 19, "\u0661", "1%00", "%20", "null"])
async def test_a_cursor_that_is_none(house: House, cursor: str) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 1)
    for path in ("/api/runs", f"/api/runs/{run.run_id}/jobs", "/api/businesses"):
        answer = await house.ask("GET", URL(f"{path}?cursor={quote(cursor, safe='%')}", encoded=True))
        assert answer.status == 422, answer.text
        assert [fault["pointer"] for fault in answer.data["errors"]] == ["/cursor"]


@pytest.mark.parametrize("cursor", ["0", "1", "2147483647", "2147483648", "9" * 18])
async def test_a_cursor_of_any_size_is_a_place_in_the_list(house: House, cursor: str) -> None:
    run = await add_run(house.pool, await add_business(house.pool), 3)
    for path in ("/api/runs?", *(f"/api/runs/{run.run_id}/jobs?{more}" for more in ("", "status=queued&"))):
        assert (await house.ask("GET", f"{path}cursor={cursor}")).status == 200


async def test_pages_of_runs_go_on_while_new_ones_come(house: House) -> None:
    business = await add_business(house.pool)
    runs = [(await add_run(house.pool, business, 1)).run_id for _ in range(6)]
    seen: list[int] = []
    cursor = ""
    for _ in range(3):
        page = (await house.ask("GET", f"/api/runs?limit=2&cursor={cursor}")).data
        seen += [run["run_id"] for run in page["data"]]
        cursor = page["next_cursor"]
        await add_run(house.pool, business, 1)
    assert seen == runs[::-1]
    assert cursor is None
