"""The settings: whether they are valid, and whether what each process needs is set."""

from collections.abc import Iterable, Mapping

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.config import Settings

CHECK = "settings"
# By SERVICE_ROLE, as control and the daemon refuse to start without them.
OF_CONTROL = ("DATABASE_URL", "REDIS_URL", "TWILIO_AUTH_TOKEN", "DIALER_ADMIN_TOKEN")
OF_DAEMON = ("DATABASE_URL", "REDIS_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
NEEDED: Mapping[str, tuple[str, ...]] = {
    "api": OF_CONTROL,
    "worker": OF_DAEMON,
    "all": tuple(dict.fromkeys(OF_CONTROL + OF_DAEMON)),
}
# `dialer up` makes the token itself, and with --simulator the account too.
MADE_BY_UP = ("DIALER_ADMIN_TOKEN", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")


def missing(settings: Settings) -> list[str]:
    """What the processes of this SERVICE_ROLE cannot do without, and is unset."""
    return [name for name in NEEDED[settings.service_role] if getattr(settings, name.lower()) is None]


def judge(missing: Iterable[str], role: str, is_up: bool) -> Finding:
    """`is_up`: `dialer up` runs here with servers of its own."""
    names = list(missing)
    if not names:
        return ok(CHECK, f"valid, and complete for SERVICE_ROLE={role}")
    found = f"valid, but unset: {', '.join(names)}"
    if is_up and set(names) <= set(MADE_BY_UP):
        return warn(
            CHECK, found, "fine for `dialer up --simulator`; calls of a real account need them set here too"
        )
    return fail(
        CHECK, found, "set them (or the same with _FILE), here and for the processes: see docs/configuration.md"
    )


def judge_faults(message: str) -> Finding:
    """`message`: of CheckYourSettings, which names every fault without its value."""
    _, *faults = message.splitlines()
    return fail(
        CHECK, "; ".join(fault.strip() for fault in faults) or message, "mend these variables: no process starts"
    )
