"""An installation in which tests plant faults: control, a carrier, both servers, and a daemon that beats."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control.carrier.signature import Verifier
from control.context import CONTEXT
from dialer import config
from dialer.cli.doctor.examine import examine
from dialer.cli.doctor.findings import Finding, Level
from simulator import INSTANT, Simulator
from tests.control.house import OPERATOR, House
from tests.support.runs import FROM, Worker

# What every process is given, but for the addresses.
DATA = "DIALER_DATA_DIR"


@dataclass
class Clinic:
    """`environment` is that of the processes; `found` is what a doctor says who has the same, or other variables."""

    house: House
    sim: Simulator
    environment: dict[str, str]
    worker: Worker

    @property
    def pool(self) -> Any:
        return self.house.pool

    async def found(self, clock: Callable[[], float] = time.time, **others: str) -> dict[str, Finding]:
        """By check."""
        given = config.load({**self.environment, **others})
        report = await examine(given, is_up=False, clock=clock)
        return {finding.check: finding for finding in report.findings}

    async def trouble(self, clock: Callable[[], float] = time.time, **others: str) -> dict[str, tuple[Level, str]]:
        """Of those that are not OK: check -> (level, what is said and advised)."""
        found = await self.found(clock, **others)
        return {
            check: (one.level, f"{one.found} | {one.advice}")
            for check, one in found.items()
            if one.level is not Level.OK
        }


@asynccontextmanager
async def open_clinic(house: House, url: str, database: str, redis_url: str, data: Path) -> AsyncIterator[Clinic]:
    async with Simulator(INSTANT.changed({"owned_numbers": [FROM]})).serve() as sim:
        # Control learned its own address when it began to listen, as its process does.
        house.client.app[CONTEXT].verifier = Verifier(sim.settings.auth_token, url)
        worker = await Worker.join(house.pool)
        # It does not beat, and the doctor takes his time.
        await house.pool.execute("UPDATE dialer_daemons SET last_seen_at = now() + interval '1 hour'")
        environment = {
            "DATABASE_URL": database,
            "REDIS_URL": redis_url,
            "PUBLIC_BASE_URL": url,
            "DIALER_ADMIN_TOKEN": OPERATOR,
            "TWILIO_ACCOUNT_SID": sim.settings.account_sid,
            "TWILIO_AUTH_TOKEN": sim.settings.auth_token,
            "TWILIO_FROM_NUMBER": FROM,
            "TWILIO_API_BASE_URL": sim.url,
            DATA: str(data),
        }
        yield Clinic(house, sim, environment, worker)
