"""What there is to see at a glance: health, daemons, runs that are going on, calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dialer.cli.client import Client, Query, expect
from dialer.cli.patience import patiently
from dialer.cli.run import Run
from dialer.cli.troubles import Refused

_OPEN = ("running", "paused", "pending")
_RUNS_OF_EACH = 10


@dataclass(frozen=True)
class Overview:
    health: Mapping[str, Any]
    """As /api/health has it; only its status when there is no token."""
    runs: tuple[Run, ...] | None
    """Those going on, the newest of each state; None without a token."""
    more_runs: bool
    counts: Mapping[str, int] | None
    """{active, limit, waiting} of the business, when one is known."""

    def data(self) -> dict[str, Any]:
        runs = None if self.runs is None else [run.raw for run in self.runs]
        return {"health": self.health, "counts": self.counts, "runs": runs}

    @property
    def in_a_line(self) -> str:
        """Such as `ok; 1 daemon; 2 runs: 1 running, 1 paused; 3 calls live of 3, 5 waiting`."""
        return "; ".join(filter(None, (self.status, self._daemons, self._runs, self.calls)))

    @property
    def status(self) -> str:
        """`ok`, or what is wrong as well."""
        troubles = [f"{name}: {found}" for name, found in self.health.get("checks", {}).items() if found != "ok"]
        return str(self.health["status"]) + (f" ({', '.join(troubles)})" if troubles else "")

    @property
    def calls(self) -> str:
        if self.counts is None:
            live = sum(run.active_calls for run in self.runs or ())
            return f"{live} live in these runs" if self.runs else ""
        return f"{self.counts['active']} live of {self.counts['limit']}, {self.counts['waiting']} waiting"

    @property
    def _daemons(self) -> str:
        return "" if "daemons" not in self.health else _counted(len(self.health["daemons"]), "daemon")

    @property
    def _runs(self) -> str:
        if self.runs is None:
            return ""
        states = [run.status for run in self.runs]
        each = ", ".join(f"{states.count(state)} {state}" for state in _OPEN if state in states)
        return f"{_counted(len(states), 'run')}{' or more' * self.more_runs}" + (f": {each}" if each else "")


def look(client: Client, business: int | None) -> Overview:
    """Raises Unreachable and Refused."""
    health = health_of(client)
    if client.token is None:
        return Overview(health, None, False, None)
    pages = [_page(client, status, business) for status in _OPEN]
    runs = tuple(Run.of(raw) for page in pages for raw in page["data"])
    return Overview(health, runs, any(page["next_cursor"] for page in pages), _counts(client, business))


def health_of(client: Client) -> Mapping[str, Any]:
    """What /api/health says, also while something is away. Raises Unreachable and Refused."""
    return patiently(lambda: _health(client))


def _health(client: Client) -> Mapping[str, Any]:
    try:
        return expect(client.get("/api/health"), "status")
    except Refused as refusal:
        # When something is away the answer is 503, and says what.
        if refusal.status == 503 and isinstance(refusal.body, dict) and "checks" in refusal.body:
            return expect(refusal.body, "status")
        raise


def _page(client: Client, status: str, business: int | None) -> dict[str, Any]:
    query: Query = {"status": status, "limit": _RUNS_OF_EACH, "business_id": business}
    return expect(patiently(lambda: client.get("/api/runs", query)), "data", "next_cursor")


def _counts(client: Client, business: int | None) -> Mapping[str, int] | None:
    try:
        answer = patiently(lambda: client.get("/api/outbound_calls/counts", {"business_id": business}))
    except Refused as refusal:
        if business is None and refusal.status in (400, 404, 422):  # the operator, who has named no business
            return None
        raise
    return expect(answer, "active", "limit", "waiting")


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
