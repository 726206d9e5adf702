"""`dialer healthcheck`: the probe of containers."""

import asyncio
import socket
from dataclasses import replace

import click
from click.core import ParameterSource

from dialer import config
from dialer.cli.client import Client, client_options
from dialer.cli.failures import Failed, say
from dialer.cli.group import example
from dialer.cli.stack import as_peer
from dialer.config import Settings, secret
from dialer.edges.heart import seconds_since_beat
from dialer.errors import DatabaseAway

ASK_WITHIN_SECONDS = 2.0


@click.command(epilog=example("dialer healthcheck --ready"))
@click.option("--ready", is_flag=True, help="Whether it can work, not only whether it lives.")
@click.pass_context
@client_options
def healthcheck(ctx: click.Context, ready: bool, client: Client) -> None:
    """Exit code 0 when what runs here answers well, else 1.

    Asks DIALER_URL; without it what SERVICE_ROLE says that this very container runs. `api`: control, by its
    CONTROL_HOST and CONTROL_PORT. `worker`: there is no HTTP to ask, so Postgres is asked when a daemon of this host
    beat last. `all`: both (control alone where DATABASE_URL is unset).
    """
    if ctx.get_parameter_source("server") is ParameterSource.DEFAULT:
        settings = config.load()
        if settings.service_role == "worker" or (settings.service_role == "all" and settings.database_url):
            _look_at_daemon(settings, ready)
        if settings.service_role == "worker":
            return
        client = replace(client, url=f"http://{as_peer(settings.control_host)}:{settings.control_port}")
    client.get("/readyz" if ready else "/livez")


def _look_at_daemon(settings: Settings, ready: bool) -> None:
    """A daemon beats only while its main loop turns, so a beat proves both."""
    settings.require("DATABASE_URL")
    host = socket.gethostname()
    try:
        age = asyncio.run(seconds_since_beat(secret(settings.database_url), host, ASK_WITHIN_SECONDS))
    except DatabaseAway as away:
        if ready:
            raise Failed(f"Postgres does not answer ({away})") from away
        # It waits for Postgres too. To start it anew would help nobody, and lose what is on the wire.
        say(f"Postgres does not answer ({away}): nobody can tell, so the daemon counts as alive")
        return
    if age is None:
        raise Failed(f"no daemon of {host} has begun to beat")
    if age > settings.takeover_after_seconds:
        raise Failed(f"the last beat of a daemon of {host} was {age:.1f} s ago")
