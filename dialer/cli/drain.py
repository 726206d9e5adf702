"""`dialer drain`: daemons are asked to leave, from wherever control can be reached."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from dialer.cli.client import Client, client_options, expect
from dialer.cli.failures import BadInput, Failed, say
from dialer.cli.group import example
from dialer.cli.overview import health_of
from dialer.cli.patience import read
from dialer.cli.show import json_option, print_json_list, print_table, when

# Five beats until it hears of it, ten seconds until it has left: a multiple of both.
WAIT_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.5

_COLUMNS = ("daemon", "host", "pid", "state", "asked")

Daemon = dict[str, Any]


@click.command(
    epilog=example("dialer drain 3f1c9a07 --wait", "dialer drain worker-2", "dialer drain --all --reason upgrade")
)
@click.argument("target", metavar="DAEMON_ID|HOST", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every daemon that lives now.")
@click.option("--wait", is_flag=True, help=f"Until they have ended; exit code 1 after {WAIT_SECONDS:g} s.")
@click.option("--reason", metavar="TEXT", help="Why: it is kept in the audit log.")
@json_option
@client_options
def drain(
    target: str | None, everyone: bool, wait: bool, reason: str | None, as_json: bool, client: Client
) -> None:
    """Ask daemons to leave as by SIGTERM: dial nothing new, hand their runs over, end. Needs the operator's token.

    A daemon is named by its id, or the beginning of it that `dialer status` shows; a host stands for all its daemons.
    What keeps daemons running (systemd, Kubernetes, `dialer up`) starts another in its place: to have none there,
    tell it so first. With no other daemon runs wait as `pending`. To do it again is harmless.
    """
    # An empty one, as of a variable that is not set, would be the beginning of every id.
    if bool(target) == everyone:
        raise BadInput("name a daemon or a host, or say --all")
    if client.token is None:
        raise Failed("this needs the operator's token: set DIALER_TOKEN")
    chosen = _chosen(expect(health_of(client), "daemons")["daemons"], target)
    asked = [_ask(client, daemon["id"], reason) for daemon in chosen]
    if wait:
        asked = _gone(client, asked)
    _show(asked, as_json)
    if left := [one["id"] for one in asked if wait and one["state"] != "gone"]:
        raise Failed(f"still there after {WAIT_SECONDS:g} s: {', '.join(left)}; see the log of each")


def _chosen(daemons: Sequence[Daemon], target: str | None) -> list[Daemon]:
    """Those that are meant. Raises Failed when there is none, and when the beginning of an id is not enough."""
    if target is None:
        if not daemons:
            say("no daemon lives")
        return list(daemons)
    named = [one for one in daemons if one.get("host") == target]
    if not named:
        named = [one for one in daemons if str(one["id"]).startswith(target.lower())]
        if len(named) > 1:
            raise Failed(f"several daemons begin with {target}: {', '.join(str(one['id']) for one in named)}")
    if not named:
        raise Failed(f"no live daemon has the id or is on the host {target}: see dialer status")
    return named


def _ask(client: Client, daemon_id: str, reason: str | None) -> Daemon:
    body = {"reason": reason} if reason else {}
    return expect(client.post(f"/api/daemons/{daemon_id}/drain", body), "id", "state")


def _gone(client: Client, daemons: Iterable[Daemon]) -> list[Daemon]:
    """As they are when all are gone, or when that has taken too long."""
    until = time.monotonic() + WAIT_SECONDS
    seen = {str(one["id"]): one for one in daemons}
    while True:
        for daemon_id in [daemon_id for daemon_id, one in seen.items() if one["state"] != "gone"]:
            seen[daemon_id] = expect(read(client, f"/api/daemons/{daemon_id}"), "id", "state")
            if seen[daemon_id]["state"] == "gone":
                say(f"{daemon_id[:8]} on {seen[daemon_id].get('host')} has ended")
        if all(one["state"] == "gone" for one in seen.values()) or time.monotonic() > until:
            return list(seen.values())
        time.sleep(LOOK_EVERY_SECONDS)


def _show(daemons: Sequence[Daemon], as_json: bool) -> None:
    if as_json:
        print_json_list(daemons)
    elif daemons:
        print_table(_COLUMNS, _rows(daemons))


def _rows(daemons: Iterable[Daemon]) -> Iterator[tuple[object, ...]]:
    for one in daemons:
        shown = (str(one["id"])[:8], one.get("host"), one.get("pid"), one["state"])
        yield (*shown, when(one.get("drain_requested_at")))
