"""The whole system as real processes: control, daemons, a simulated carrier; and the questions asked of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import asyncpg

from simulator import INSTANT, Simulator
from simulator import Settings as CarrierSettings
from tests.support.runs import assert_counters_match
from tests.support.waiting import eventually
from tests.support.warm import Warm

TOKEN = "operator-token-of-the-tests"
TWIML = "<Response><Say>hello</Say></Response>"
FROM = "+15005550006"
ENDED = ("completed", "stopped", "cancelled", "failed")
Beginning = Literal["cold", "warm"]
# Twice and a half as fast as in life, all in proportion.
QUICK = {
    "HEARTBEAT_INTERVAL_SECONDS": "0.4",
    "TAKEOVER_AFTER_SECONDS": "2.4",
    "TWILIO_CALLS_PER_SECOND": "0",
}


@dataclass
class Process:
    """A process of ours, its log in a file."""

    name: str
    popen: subprocess.Popen[bytes] | Warm
    log: Path

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The log so far, or only these events."""
        # A line that is being written may be there in part.
        whole = self.log.read_bytes().rpartition(b"\n")[0].decode()
        found = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [e for e in found if not names or e["event"] in names]

    async def started(self) -> dict[str, Any]:
        """Wait for STARTUP."""

        def startup() -> dict[str, Any] | None:
            assert self.popen.poll() is None, self.log.read_text()
            return next(iter(self.events("STARTUP")), None)

        found = await eventually(startup, timeout=15)
        assert found is not None
        return found

    async def ends(self, timeout: float = 15) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.wait_for(asyncio.to_thread(self.popen.wait), timeout)

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()


@dataclass
class Stack:
    """Everything of one test. `start` and `run` speak HTTP, as any client would.

    `beginning`: of its processes; cold as users start them, or forked (tests/support/warm.py).
    """

    sim: Simulator
    db: Any
    environment: dict[str, str]
    directory: Path
    http: aiohttp.ClientSession
    beginning: Beginning = "cold"
    processes: list[Process] = field(default_factory=list)
    control: Process | None = None
    url: str = ""

    def spawn(self, module: str, **environment: str) -> Process:
        """Start one process."""
        name = f"{module}-{len(self.processes)}"
        log = self.directory / f"{name}.log"
        variables = {**os.environ, **self.environment, **environment}
        log.write_bytes(b"")  # another stack may have had the same directory
        popen = (Warm if self.beginning == "warm" else _cold)(module, variables, log)
        process = Process(name, popen, log)
        self.processes.append(process)
        return process

    async def start_control(self, **environment: str) -> Process:
        """Control on a free port; the daemons that are started from now on name it in callbacks."""
        self.control = self.spawn("control", CONTROL_PORT="0", PUBLIC_BASE_URL="", **environment)
        self.url = (await self.control.started())["url"]
        self.environment["PUBLIC_BASE_URL"] = self.url
        await self.is_ready()
        return self.control

    async def is_ready(self) -> None:
        """Wait until control has found its schema."""

        async def ready() -> bool:
            try:
                async with self.http.get(self.url + "/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(ready, timeout=10)

    async def daemon(self, **environment: str) -> Process:
        """Another daemon, up and looking for runs."""
        process = self.spawn("dialer", **environment)
        await process.started()
        return process

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """A request with the operator's token; the JSON of a 2xx."""
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        async with self.http.request(method, self.url + path, headers=headers, **options) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{answer.status} {text}"
            return json.loads(text) if text else None

    async def business(self, limit: int = 3, **fields: Any) -> int:
        made = await self.ask(
            "POST", "/api/businesses", json={"name": "test", "max_concurrent_calls": limit, **fields}
        )
        business: int = made["business_id"]
        return business

    async def start(self, business: int, phones: list[str], **fields: Any) -> int:
        """Start a run; its id."""
        leads = [{"phone": phone, "lead_id": f"lead-{n}"} for n, phone in enumerate(phones, 1)]
        body = {"business_id": business, "leads": leads, "twiml": TWIML, "from_number": FROM, **fields}
        started = await self.ask("POST", "/api/outbound_calls/start", json=body)
        assert started["rejected"] == [], started
        run: int = started["run_id"]
        return run

    async def run(self, run: int) -> dict[str, Any]:
        """The run as HTTP shows it; its counters add up, always."""
        shown: dict[str, Any] = await self.ask("GET", f"/api/runs/{run}")
        parts = ("queued", "in_progress", "completed", "failed", "cancelled")
        assert shown["total"] == sum(shown[p] for p in parts), shown
        return shown

    async def ended(self, run: int, timeout: float = 30) -> dict[str, Any]:
        """Wait for the end of a run."""

        async def look() -> dict[str, Any] | None:
            shown = await self.run(run)
            return shown if shown["status"] in ENDED else None

        found = await eventually(look, timeout=timeout, interval=0.05)
        assert found is not None
        return dict(found)

    async def jobs(self, run: int) -> list[Any]:
        return list(
            await self.db.fetch("SELECT * FROM outbound_call_jobs WHERE run_id = $1 ORDER BY position", run)
        )

    async def check(self, *runs: int, limit: int | None = None) -> None:
        """The questions that every test ends with: the ledger, the slots, the counters."""
        ledger = self.sim.ledger
        assert ledger.most_calls_of_an_attempt() <= 1
        assert ledger.without_attempt() in (0, [])
        known = {str(r["id"]) for r in await self.db.fetch("SELECT id FROM outbound_call_attempts")}
        assert {c.attempt for c in ledger.calls.values()} <= known
        dialed = await self.db.fetch(
            """SELECT j.phone, count(a.id) AS attempts FROM outbound_call_jobs j
               JOIN outbound_call_attempts a ON a.job_id = j.id GROUP BY j.phone"""
        )
        attempts = {r["phone"]: r["attempts"] for r in dialed}
        for phone, calls in ledger.calls_per_number().items():
            assert calls <= attempts[phone], phone
        if limit is not None:
            assert ledger.most_live() <= limit
        assert await self.db.fetchval("SELECT count(*) FROM outbound_call_attempts WHERE ended_at IS NULL") == 0
        for run in runs:
            await assert_counters_match(self.db, run)
        for process in self.processes:
            errors = [e for e in process.events() if e.get("level") == "error"]
            assert errors == [], errors

    def close(self) -> None:
        for process in self.processes:
            process.close()


@asynccontextmanager
async def stack(
    database: str,
    redis_url: str,
    directory: Path,
    carrier: CarrierSettings = INSTANT,
    beginning: Beginning = "cold",
    /,
    **environment: str,
) -> AsyncIterator[Stack]:
    """A carrier, control, and no daemon yet."""
    async with Simulator(carrier).serve() as sim, aiohttp.ClientSession() as http:
        db = await asyncpg.connect(database)
        settings = {
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "TWILIO_ACCOUNT_SID": sim.settings.account_sid,
            "TWILIO_AUTH_TOKEN": sim.settings.auth_token,
            "TWILIO_API_BASE_URL": sim.url,
            "DIALER_ADMIN_TOKEN": TOKEN,
            "RATE_LIMIT_PER_SECOND": "1000",
            **QUICK,
            **environment,
        }
        made = Stack(sim, db, settings, directory, http, beginning)
        try:
            await made.start_control()
            yield made
        finally:
            made.close()
            await db.close()


def _cold(module: str, variables: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            env=variables,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


def numbers(count: int, last_two: int | None = None) -> Iterator[str]:
    """Valid numbers, all different; their last two digits decide the call's outcome."""
    for n in range(count):
        ending = n % 80 if last_two is None else last_two
        yield f"+1212{200 + n // 100 % 700:03d}{n % 100:02d}{ending:02d}"
