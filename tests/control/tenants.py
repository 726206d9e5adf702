"""Two businesses that must not meet, each with one of everything; and the whole database as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from control.routes import ROUTES
from tests.control.house import ACCOUNT, TWIML, House, sid
from tests.support.runs import Worker, add_business, add_run


@dataclass(frozen=True)
class Tenant:
    """A business, the tokens of its keys, and the ids of what it owns, by the names they have in paths."""

    business_id: int
    member: str
    read_only: str
    owns: dict[str, str]


async def tenant(house: House, *, state: str = "running") -> Tenant:
    """`state` is that of its run: running with a call live and one job queued, paused, or ended."""
    business_id = await add_business(house.pool)
    run = await add_run(house.pool, business_id, 2)
    # The daemons of earlier tenants have had their share.
    await house.pool.execute("UPDATE dialer_daemons SET ended_at = now() WHERE ended_at IS NULL")
    worker = await Worker.join(house.pool)
    await worker.claim()
    (written,) = await worker.intend(run.run_id, [1])
    call = sid()
    await house.pool.execute(
        """INSERT INTO recording_runs (business_id, run_id, job_id, attempt_id, account_sid, call_sid)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        *(business_id, run.run_id, run.jobs[0], written["attempt_id"], ACCOUNT, call),
    )
    if state != "running":
        verb = {"paused": "pause", "ended": "stop"}[state]
        assert (await house.ask("POST", f"/api/runs/{run.run_id}/{verb}")).status == 200
    key_id = await house.pool.fetchval(
        """INSERT INTO api_keys (business_id, name, role, prefix, token_hash)
           VALUES ($1, 'to be revoked', 'member', 'x', gen_random_uuid()::text::bytea) RETURNING id""",
        business_id,
    )
    owns = {
        "business_id": str(business_id),
        "run_id": str(run.run_id),
        "job_id": str(run.jobs[0]),
        "key_id": str(key_id),
        "call_sid": call,
        "daemon_id": str(worker.id),
    }
    tokens = [await house.key(business_id, role) for role in ("member", "read_only")]
    return Tenant(business_id, tokens[0], tokens[1], owns)


Body = Callable[[Tenant], dict[str, Any]]


def _list_of_leads(_: Tenant) -> dict[str, Any]:
    return {"leads": [{"phone": "+12125550100"}], "twiml": TWIML, "from_number": "+15005550006"}


# What must be sent to a route; to all others nothing is.
BODIES: dict[tuple[str, str], Body] = {
    ("POST", "/api/outbound_calls/start"): _list_of_leads,
    ("POST", "/api/runs"): _list_of_leads,
    ("POST", "/api/outbound/stop-queue"): lambda owner: {"run_id": int(owner.owns["run_id"])},
    ("POST", "/api/businesses"): lambda _: {"name": "new"},
    ("PATCH", "/api/businesses/{business_id}"): lambda _: {"name": "changed", "max_concurrent_calls": 9},
    ("POST", "/api/businesses/{business_id}/keys"): lambda _: {"name": "new", "role": "member"},
    # Its runs' jobs were never dialed.
    ("POST", "/api/runs/{run_id}/retry"): lambda _: {"only": ["not_dialed"]},
}
# In which state a run must be for it, where that is not running.
STATES = {"/api/runs/{run_id}/retry": "ended", "/api/runs/{run_id}/resume": "paused"}
# Objects that are named in the query string.
NAMED_IN_QUERY = {"/api/events": "run_id", "/api/recordings": "run_id"}
TABLE = [(method, path, access) for method, path, _, access in ROUTES]


@dataclass(frozen=True)
class Attempt:
    """A request to a route of the table, about what `owner` owns."""

    method: str
    path: str
    owner: Tenant
    query: str = ""
    business_in_body: int | None = None

    @property
    def names_an_object(self) -> bool:
        """Is it about something of the owner's, without saying the business's id?"""
        return "{" in self.path or self.path == "/api/outbound/stop-queue"

    async def send(self, house: House, token: str | None) -> tuple[int, str | None]:
        """(status, the problem's code); of what is streamed nothing is read."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        make = BODIES.get((self.method, self.path))
        body = None if make is None else make(self.owner)
        if self.business_in_body is not None:
            body = {**(body or {}), "business_id": self.business_in_body}
        url = self.path.format(**self.owner.owns) + self.query
        async with house.client.request(self.method, url, headers=headers, json=body) as response:
            problem = response.content_type == "application/problem+json" and self.method != "HEAD"
            return response.status, (await response.json(content_type=None))["code"] if problem else None


async def everything(pool: Any) -> dict[str, str]:
    """Table -> all its rows."""
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    parts = [
        f"SELECT '{t['tablename']}' AS name, coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') AS rows"
        f' FROM "{t["tablename"]}" t'
        for t in tables
    ]
    return {row["name"]: row["rows"] for row in await pool.fetch(" UNION ALL ".join(parts))}
