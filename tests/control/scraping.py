"""What /metrics of a house says, and daemons that have something to tell."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import sql
from dialer.rules.tally import Tally
from tests.control.house import House
from tests.support.prometheus import Scraped


async def scrape(house: House, token: str | None = None) -> Scraped:
    answer = await house.ask("GET", "/metrics", token)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Scraped.of(answer.text)


async def daemon_with(pool: Any, tally: Tally) -> UUID:
    """A daemon's row, with what it has counted."""
    worker = uuid4()
    await pool.execute(sql.query("register_daemon"), worker, "host-1", 42)
    await pool.execute(sql.query("show_tally"), worker, json.dumps(tally.snapshot()))
    return worker


def busy() -> Tally:
    tally = Tally()
    for counter in tally.counters().values():
        counter["failed"] += 1
    tally.beats.observe(1.0)
    tally.handovers.freed(1, 1, 1.0)
    tally.handovers.requested(1, 1, 1.04)
    return tally
