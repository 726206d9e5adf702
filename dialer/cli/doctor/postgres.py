"""Postgres: whether it answers, is new enough, migrated, kept safe, and has connections for everybody."""

from contextlib import AsyncExitStack

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View
from dialer.config import secret
from dialer.edges.inspection import Inspection, ServerFacts
from dialer.errors import DatabaseAway

SERVER, SCHEMA, CONNECTIONS = "postgres", "schema", "connections"
OLDEST_MAJOR = 15
# What one process may hold at most: a daemon the pools of its two stores and the connection that beats, control its
# pool. Between them and what Postgres gives lie migrations, psql and monitoring.
OF_A_DAEMON, OF_CONTROL, OF_OTHERS = 10 + 10 + 1, 12, 5

_WHY = {
    "InvalidPasswordError": "the password in DATABASE_URL is not that of its user",
    "InvalidAuthorizationSpecificationError": "Postgres lets this user not in from here: see its pg_hba.conf",
    "InvalidCatalogNameError": "the database in DATABASE_URL does not exist: create it, then run `dialer migrate`",
    "ConnectionRefusedError": "nobody listens there: is Postgres running, and do host and port of DATABASE_URL fit?",
    "gaierror": "the host in DATABASE_URL has no address: is its name right?",
    "TooManyConnectionsError": "all its connections are taken: see max_connections, or put PgBouncer before it",
    "CannotConnectNowError": "it starts up or shuts down just now: look again",
}


async def open_postgres(stack: AsyncExitStack, view: View) -> list[Finding]:
    """Look at the server itself, and leave in the view what the other groups need."""
    if view.settings.database_url is None:
        return []
    try:
        view.inspection = await Inspection.connect(
            secret(view.settings.database_url), prepared=view.settings.database_statement_cache_size
        )
        stack.push_async_callback(view.inspection.close)
        facts = await view.inspection.server()
        seen, needed = await view.inspection.schema()
    except DatabaseAway as away:
        view.inspection = None
        return [judge_away(str(away))]
    view.is_migrated = seen >= needed
    return [judge_server(facts), judge_schema(seen, needed)]


async def look(view: View) -> list[Finding]:
    """How many connections everybody may want, by the daemons that live."""
    facts = await view.postgres.server()
    daemons = await view.postgres.daemons(view.settings.takeover_after_seconds)
    return [judge_connections(facts, max(len(daemons), 1))]


def judge_away(error: str) -> Finding:
    advice = _WHY.get(error, "is it running, does DATABASE_URL name it, does the network let us through?")
    return fail(SERVER, f"does not answer ({error})", advice)


def judge_server(facts: ServerFacts) -> Finding:
    found = f"PostgreSQL {facts.version}"
    if facts.major < OLDEST_MAJOR:
        return fail(SERVER, found, f"PostgreSQL {OLDEST_MAJOR} or newer is needed")
    if facts.read_only:
        return fail(SERVER, f"{found}, read-only", "DATABASE_URL must lead to the primary, not to a standby")
    if not facts.fsync:
        return warn(
            SERVER,
            f"{found} with fsync=off",
            "a power cut may lose what was committed, and then people are called twice: set fsync=on",
        )
    return ok(SERVER, found)


def judge_schema(seen: int, needed: int) -> Finding:
    if seen >= needed:
        newer = " (newer than this version needs, which is fine)" if seen > needed else ""
        return ok(SCHEMA, f"version {seen}{newer}")
    found = f"version {seen}, and {needed} is needed" if seen else f"not there; version {needed} is needed"
    return fail(SCHEMA, found, "run `dialer migrate`; until then every process waits")


def judge_connections(facts: ServerFacts, daemons: int) -> Finding:
    """For one control and so many daemons. Who runs more controls, or has a pooler, must reckon himself."""
    wanted = OF_CONTROL + daemons * OF_A_DAEMON + OF_OTHERS
    found = (
        f"{facts.connected} of {facts.connections} are in use; 1 control and {daemons} daemon(s) may want {wanted}"
    )
    if wanted > facts.connections:
        advice = "raise max_connections, run fewer daemons, or put PgBouncer before Postgres (transaction mode)"
        return fail(CONNECTIONS, found, advice)
    if facts.connected > 0.8 * facts.connections:
        return warn(CONNECTIONS, found, "somebody else uses them up: raise max_connections, or find out who")
    return ok(CONNECTIONS, found)
