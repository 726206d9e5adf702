"""`dialer keys`: what lets a business's programs in, for the operator."""

from typing import Any

import click

from dialer.cli.client import Client, client_options, expect
from dialer.cli.failures import say
from dialer.cli.group import example
from dialer.cli.lists import Listing, paging_options, show_list
from dialer.cli.show import json_option, print_json, when

_COLUMNS = ("key", "name", "role", "begins with", "created", "revoked")
_business_argument = click.argument("business_id", metavar="BUSINESS_ID", type=int)


@click.group(epilog=example("dialer keys create 4 CRM > crm.token"))
def keys() -> None:
    """Manage the keys of businesses. Needs the operator's token."""


@keys.command(
    epilog=example("dialer keys create 4 CRM > crm.token", "dialer keys create 4 dashboard --role read_only")
)
@_business_argument
@click.argument("name")
@click.option("--role", type=click.Choice(["member", "read_only"]), default="member", show_default=True)
@json_option
@client_options
def create(business_id: int, name: str, role: str, as_json: bool, client: Client) -> None:
    """Make a key. Its token is printed this once and can never be seen again."""
    made = expect(
        client.post(f"/api/businesses/{business_id}/keys", {"name": name, "role": role}), "key_id", "token"
    )
    if as_json:
        print_json(made)
    else:
        click.echo(made["token"])
    say(f"key {made['key_id']} of business {business_id} ({role}): keep the token now, it is not shown again")


@keys.command(name="list", epilog=example("dialer keys list 4"))
@_business_argument
@paging_options(default=100)
@json_option
@client_options
def list_keys(business_id: int, most: int | None, as_json: bool, client: Client) -> None:
    """List the keys of a business, without their tokens."""
    show_list(Listing(client, f"/api/businesses/{business_id}/keys", {}, most), as_json, _COLUMNS, _row)


@keys.command(epilog=example("dialer keys revoke 12"))
@click.argument("key_id", metavar="KEY_ID", type=int)
@client_options
def revoke(key_id: int, client: Client) -> None:
    """Revoke a key: from now on its token is refused."""
    client.delete(f"/api/keys/{key_id}")
    say(f"key {key_id} is revoked")


def _row(key: dict[str, Any]) -> tuple[object, ...]:
    key = expect(key, "key_id", "prefix")
    texts = (key.get(name) for name in ("key_id", "name", "role", "prefix"))
    return (*texts, when(key.get("created_at")), when(key.get("revoked_at")))
