"""Keeps the developer's environment out of the tests."""

from __future__ import annotations

from collections.abc import MutableMapping

# Under these names DATABASE_URL and REDIS_URL reach the fixtures, and with xdist its workers, while code
# under test that looks for its own settings finds none.
TESTS_DATABASE_URL = "TESTS_DATABASE_URL"
TESTS_REDIS_URL = "TESTS_REDIS_URL"

_PREFIXES = (
    "TWILIO_",
    "DIALER_",
    "CONTROL_",
    "MIGRATION_",
    "RECORDING",
    "METRICS_",
    "LOG_",
    "PG",
    "NOTIFY_",
    "WATCHDOG_",
)
_NAMES = (
    "DATABASE_URL",
    "DATABASE_STATEMENT_CACHE_SIZE",
    "REDIS_URL",
    "SERVICE_ROLE",
    "PUBLIC_BASE_URL",
    "MAX_CONCURRENT_CALLS_PER_BUSINESS",
    "HEARTBEAT_INTERVAL_SECONDS",
    "TAKEOVER_AFTER_SECONDS",
    "STALE_AFTER_SECONDS",
    "RESUME_WITHIN_SECONDS",
    "CALL_SILENT_AFTER_SECONDS",
    "UNKNOWN_AFTER_SECONDS",
    "CARRIER_LIST_LAG_SECONDS",
    "RING_TIMEOUT_SECONDS",
    "CALL_TIME_LIMIT_SECONDS",
    "MAX_REQUEST_BYTES",
    "RATE_LIMIT_PER_SECOND",
    "RUN_MIGRATIONS",
    "NO_COLOR",
)


def isolate(environ: MutableMapping[str, str]) -> None:
    """Move the addresses of the servers aside and remove every other setting of ours."""
    for name, aside in (("DATABASE_URL", TESTS_DATABASE_URL), ("REDIS_URL", TESTS_REDIS_URL)):
        if environ.get(name):
            environ[aside] = environ[name]
    for name in list(environ):
        if name.removesuffix("_FILE") in _NAMES or name.startswith(_PREFIXES):
            del environ[name]
