"""What is done to a run as a whole, over HTTP."""

from __future__ import annotations

from typing import Any

from tests.control.house import House
from tests.support.runs import Run, Worker, add_business, add_run, assert_counters_match
from tests.support.waiting import eventually

PATHS = {
    "cancel": ("/api/runs/{}/cancel", "/api/outbound_calls/jobs/{}/cancel"),
    "force_cancel": ("/api/runs/{}/force-cancel", "/api/outbound_calls/jobs/{}/force-cancel"),
    "stop": ("/api/runs/{}/stop", "/api/outbound/stop-queue"),
    "pause": ("/api/runs/{}/pause",),
    "resume": ("/api/runs/{}/resume",),
}
EVENTS = {"cancel": "CANCEL", "force_cancel": "FORCE_CANCEL", "stop": "STOP_QUEUE", "pause": "PAUSE"}
ALL_PATHS = [(action, path) for action, paths in PATHS.items() for path in paths]


async def do(house: House, path: str, run_id: object, token: str | None = None, **body: Any) -> Any:
    options: dict[str, Any] = {} if token is None else {"token": token}
    if "{}" not in path:
        body["run_id"] = run_id
    if body:
        options["json"] = body
    return await house.ask("POST", path.format(run_id), **options)


def expected(action: str, run_id: int, jobs: int, status: str) -> dict[str, Any]:
    """The whole answer to a cancel, a force-cancel or a stop without live calls."""
    return {
        "cancel": {"run_id": run_id, "status": status, "cancel_requested": True, "jobs_cancelled": jobs},
        "force_cancel": {
            "run_id": run_id,
            "status": status,
            "jobs_cancelled": jobs,
            "slots_released": 0,
            "calls_hung_up": 0,
        },
        "stop": {"run_id": run_id, "status": status, "cancelled_jobs": jobs},
    }[action]


async def dialing(house: House, jobs: int, live: int) -> tuple[Run, Worker, list[Any]]:
    run = await add_run(house.pool, await add_business(house.pool, limit=100), jobs)
    worker = await Worker.join(house.pool)
    await worker.claim()
    written = await worker.intend(run.run_id, list(range(1, live + 1))) if live else []
    return run, worker, [row["attempt_id"] for row in written]


async def swept(house: House, run: Run) -> None:
    """Wait until control has moved the rows too, and, when no call is live any more, has marked that."""

    async def is_it() -> bool:
        row = await house.pool.fetchrow(
            """SELECT c.queued, c.in_progress, r.swept_at FROM outbound_call_runs r
               JOIN outbound_call_run_counters c ON c.run_id = r.id WHERE r.id = $1""",
            run.run_id,
        )
        return row["queued"] == 0 and (row["in_progress"] > 0 or row["swept_at"] is not None)

    await eventually(is_it, timeout=10, description="the sweep is through")
    await assert_counters_match(house.pool, run.run_id)
