"""Everything that is looked at, in order. What needs something that is away is left out, and said to be."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from dialer.cli.doctor import callbacks, carrier, clocks, disk, postgres, redis, settings, slots, work
from dialer.cli.doctor.findings import Finding, fail
from dialer.cli.doctor.view import View
from dialer.config import Settings
from dialer.errors import TryAgainLater

Look = Callable[[View], Awaitable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class Group:
    """Checks that are made together. `needs`: see `_there`."""

    name: str
    needs: frozenset[str]
    look: Look


@dataclass
class Report:
    """`left_out`: group -> what it lacked."""

    findings: list[Finding] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def _group(name: str, look: Look, *needs: str) -> Group:
    return Group(name, frozenset(needs), look)


GROUPS = (
    _group("clocks", clocks.look),
    _group("connections", postgres.look, "schema"),
    _group("carrier", carrier.look, "account", "auth token"),
    _group("callbacks", callbacks.look, "auth token"),
    _group("work", work.look, "schema"),
    _group("slots", slots.look, "schema", "redis"),
    _group("disk", disk.look),
)


async def examine(given: Settings, *, is_up: bool, clock: Callable[[], float] = time.time) -> Report:
    """Look at everything. `is_up`: the addresses are those of embedded servers that `dialer up` runs here."""
    view, report = View(given, clock), Report()
    report.findings.append(settings.judge(settings.missing(given), given.service_role, is_up))
    async with AsyncExitStack() as stack:
        report.findings += await postgres.open_postgres(stack, view)
        report.findings += await redis.open_redis(stack, view)
        there = _there(view)
        made = []
        for group in GROUPS:
            lacking = sorted(group.needs - there)
            if lacking:
                report.left_out[group.name] = lacking
            else:
                made.append(group)
        for findings in await asyncio.gather(*(_look(group, view) for group in made)):
            report.findings += findings
    return report


def _there(view: View) -> set[str]:
    given = view.settings
    return {
        name
        for name, is_there in (
            ("schema", view.is_migrated),
            ("redis", view.redis is not None),
            ("account", given.twilio_account_sid is not None),
            ("auth token", given.twilio_auth_token is not None),
        )
        if is_there
    }


async def _look(group: Group, view: View) -> list[Finding]:
    try:
        return await group.look(view)
    except TryAgainLater as away:
        return [fail(group.name, f"could not be looked at: {away}", "something went away meanwhile: look again")]
