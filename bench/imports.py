"""How quickly does a long list become a run? `python -m bench.imports [--leads 1000000] [--runs 5]`

COPY of ready-made rows into the jobs; the whole `start` over HTTP, as CSV, as JSON, and with numbers as they are
written at home; what control's memory grew by; and what a callback took before and meanwhile. Beside it the floor: a
bare COPY of the same rows into a table with a key and nothing else, in the same runs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from twilio.request_validator import RequestValidator

from bench.callbacks import live_calls
from bench.ground import Line, arguments, durable_servers, migrated_database, rank, show
from dialer.embedded import EmbeddedServers
from tests.support.crowds import add_runs
from tests.system.stack import FROM, TWIML, Stack, stack

COLUMNS = ("run_id", "business_id", "position", "phone", "lead_id", "name")
BARE = """
CREATE TABLE bare_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id bigint, business_id bigint,
                        position integer, phone text, lead_id text, name text)
"""
BETWEEN_CALLBACKS_SECONDS = 0.02

Figures = dict[str, list[float]]


def main() -> int:
    parser = arguments("imports", __doc__)
    parser.add_argument("--leads", type=int, default=1_000_000)
    options = parser.parse_args()
    figures: Figures = defaultdict(list)
    with durable_servers() as servers:
        for number in range(options.runs):
            asyncio.run(measure(servers, number, options.leads, figures))
    floor = figures.pop("floor")
    lines = [
        Line(name, _unit(name), taken, floor if "a second" in name else ()) for name, taken in figures.items()
    ]
    show(f"lists of {options.leads} leads, {options.runs} runs", lines, as_json=options.json)
    return 0


async def measure(servers: EmbeddedServers, number: int, leads: int, figures: Figures) -> None:
    database = await migrated_database(servers.dsn, f"imports_{number}")
    with tempfile.TemporaryDirectory() as logs:
        async with stack(
            database, servers.redis_url, Path(logs), MAX_REQUEST_BYTES=str(leads * 200 + 2**20)
        ) as system:
            business = await system.business(default_region="IL")
            await system.db.execute(BARE)
            figures["floor"].append(await _copied(system.db, business, leads, "bare_jobs"))
            figures["COPY: rows a second"].append(await _copied(system.db, business, leads, "outbound_call_jobs"))
            post = await _callbacks(system)
            quiet = await _timed_until(asyncio.create_task(asyncio.sleep(2)), post)
            for name, send in (("CSV", _csv), ("JSON", _json), ("JSON, as at home", _json_at_home)):
                await _started(system, name, send(business, leads), figures, post, quiet)


async def _copied(db: Any, business: int, leads: int, table: str) -> float:
    [run] = await add_runs(db, business, 1)
    rows = [(run, business, n, f"+1212{2_000_000 + n}", f"lead-{n}", "Dana") for n in range(leads)]
    began = time.perf_counter()
    await db.copy_records_to_table(table, records=rows, columns=COLUMNS, timeout=600)
    return leads / (time.perf_counter() - began)


async def _started(
    system: Stack,
    name: str,
    request: dict[str, Any],
    figures: Figures,
    post: Callable[[], Awaitable[None]],
    quiet: Sequence[float],
) -> None:
    before = _forget_most_memory(system)
    began = time.perf_counter()
    starting = asyncio.create_task(system.ask("POST", "/api/outbound_calls/start", timeout=None, **request))
    meanwhile = await _timed_until(starting, post)
    started = starting.result()
    figures[f"{name}: leads a second"].append(started["queued"] / (time.perf_counter() - began))
    assert started["rejected"] == []
    figures[f"{name}: body"].append(len(request["data"]) / 2**20)
    figures[f"{name}: control grew by"].append(_most_memory(system) - before)
    for share in (0.5, 0.99):
        figures[f"callback p{share * 100:.0f}, nothing else"].append(1000 * rank(quiet, share))
        figures[f"{name}: callback p{share * 100:.0f} meanwhile"].append(1000 * rank(meanwhile, share))


def _unit(name: str) -> str:
    if "callback" in name:
        return "ms"
    return "" if "a second" in name else "MB"


def _csv(business: int, leads: int) -> dict[str, Any]:
    lines = (f"+1{2_012_000_000 + 7 * n},lead-{n},Dana" for n in range(leads))
    query = {"business_id": str(business), "twiml": TWIML, "from_number": FROM}
    body = ("phone,lead_id,name\n" + "\n".join(lines)).encode()
    return {"params": query, "data": body, "headers": {"Content-Type": "text/csv"}}


def _json(business: int, leads: int) -> dict[str, Any]:
    return _list(business, [f"+1{2_012_000_000 + 7 * n}" for n in range(leads)])


def _json_at_home(business: int, leads: int) -> dict[str, Any]:
    """With the default region's numbers, not in full."""
    return _list(business, [f"05{n // 10_000_000}-{n // 10_000 % 1_000:03}-{n % 10_000:04}" for n in range(leads)])


def _list(business: int, phones: list[str]) -> dict[str, Any]:
    leads = [
        {"phone": phone, "lead_id": f"lead-{n}", "name": "Dana", "variables": {"city": "Haifa"}}
        for n, phone in enumerate(phones)
    ]
    body = {"business_id": business, "twiml": TWIML, "from_number": FROM, "leads": leads}
    return {"data": json.dumps(body).encode(), "headers": {"Content-Type": "application/json"}}


async def _callbacks(system: Stack) -> Callable[[], Awaitable[None]]:
    """What posts one more signed callback; each is an event of a live call, stored with a commit of its own."""
    [attempt] = await live_calls(system.db, 1)
    to = f"{system.url}/webhook/call_status?attempt={attempt}"
    validator, numbers = RequestValidator(system.sim.settings.auth_token), count(10)

    async def post() -> None:
        form = {
            "CallSid": f"CA{attempt.hex}",
            "CallStatus": "in-progress",
            "SequenceNumber": str(next(numbers)),
        }
        signature = {"X-Twilio-Signature": validator.compute_signature(to, form)}
        async with system.http.post(to, data=form, headers=signature) as answer:
            assert answer.status == 204, answer.status

    return post


async def _timed_until(task: asyncio.Task[Any], post: Callable[[], Awaitable[None]]) -> list[float]:
    """How long each of the callbacks took that were posted, one after the other, until the task was done. Sorted."""
    taken = []
    while not task.done():
        began = time.perf_counter()
        await post()
        taken.append(time.perf_counter() - began)
        await asyncio.wait([task], timeout=BETWEEN_CALLBACKS_SECONDS)
    return sorted(taken)


def _forget_most_memory(system: Stack) -> float:
    """What control has resident just now, in megabytes; from here on the most is counted anew."""
    Path(f"/proc/{_pid(system)}/clear_refs").write_text("5")
    return _most_memory(system)


def _most_memory(system: Stack) -> float:
    status = Path(f"/proc/{_pid(system)}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _pid(system: Stack) -> int:
    assert system.control is not None
    return system.control.popen.pid


if __name__ == "__main__":
    sys.exit(main())
