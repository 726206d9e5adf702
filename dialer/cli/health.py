"""`dialer healthcheck`: the probe of containers."""

from dataclasses import replace

import click
from click.core import ParameterSource

from dialer import config
from dialer.cli.client import Client, client_options
from dialer.cli.stack import as_peer


@click.command()
@click.option("--ready", is_flag=True, help="Whether it can work, not only whether it lives.")
@click.pass_context
@client_options
def healthcheck(ctx: click.Context, ready: bool, client: Client) -> None:
    """Exit code 0 when control answers well, else 1.

    Asks DIALER_URL; without it the control of this very container, by its CONTROL_HOST and CONTROL_PORT.
    """
    if ctx.get_parameter_source("server") is ParameterSource.DEFAULT:
        settings = config.load()
        client = replace(client, url=f"http://{as_peer(settings.control_host)}:{settings.control_port}")
    client.get("/readyz" if ready else "/livez")
