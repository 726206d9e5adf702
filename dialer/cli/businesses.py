"""`dialer businesses`: tenants, for the operator."""

from typing import Any

import click

from dialer.cli.client import Client, client_options, expect
from dialer.cli.failures import BadInput
from dialer.cli.group import example
from dialer.cli.lists import Listing, paging_options, show_list
from dialer.cli.show import json_option, print_facts, print_json, when

_COLUMNS = ("business", "name", "limit", "from", "region", "time zone", "created")
_LIMIT = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Live calls at once.")
_FROM = click.option("--from-number", metavar="+1...", help="The number to call from, unless a run has its own.")
_REGION = click.option("--region", metavar="XX", help="The country of numbers written without one, such as IL.")
_ZONE = click.option(
    "--timezone", metavar="AREA/CITY", help="Of the times in its reports, such as Asia/Jerusalem."
)


@click.group(epilog=example('dialer businesses add "Acme" --limit 5 --region IL'))
def businesses() -> None:
    """Manage businesses. Needs the operator's token."""


@businesses.command(
    epilog=example('dialer businesses add "Acme" --limit 5 --from-number +972501234567 --region IL')
)
@click.argument("name")
@_LIMIT
@_FROM
@_REGION
@_ZONE
@json_option
@client_options
def add(name: str, as_json: bool, client: Client, **settings: Any) -> None:
    """Add a business. Its keys are made with `dialer keys create`."""
    _show(client.post("/api/businesses", {"name": name, **_named(settings)}), as_json)


@businesses.command(name="list", epilog=example("dialer businesses list"))
@paging_options(default=100)
@json_option
@client_options
def list_businesses(most: int | None, as_json: bool, client: Client) -> None:
    """List the businesses."""
    show_list(Listing(client, "/api/businesses", {}, most), as_json, _COLUMNS, _row)


@businesses.command(
    name="set", epilog=example("dialer businesses set 4 --limit 10", "dialer businesses set 4 --region ''")
)
@click.argument("business_id", metavar="ID", type=int)
@click.option("--name", metavar="TEXT", help="What it is called.")
@_LIMIT
@_FROM
@_REGION
@_ZONE
@json_option
@client_options
def set_business(business_id: int, as_json: bool, client: Client, **settings: Any) -> None:
    """Change a business: what is named, and nothing else.

    An empty --from-number or --region takes it away. A new limit holds for runs that are going on, too.
    """
    changes = _named(settings)
    if not changes:
        raise BadInput("name what is to be changed, such as --limit 5")
    _show(client.patch(f"/api/businesses/{business_id}", changes), as_json)


def _named(settings: dict[str, Any]) -> dict[str, Any]:
    """What was given, by the server's names; an empty text is none."""
    names = {"limit": "max_concurrent_calls", "region": "default_region"}
    given = {names.get(name, name): value for name, value in settings.items() if value is not None}
    return {name: None if value == "" and name != "name" else value for name, value in given.items()}


def _show(answer: Any, as_json: bool) -> None:
    business = expect(answer, "business_id", "name")
    if as_json:
        print_json(business)
    else:
        print_facts((name, when(value) if name.endswith("_at") else value) for name, value in business.items())


def _row(business: dict[str, Any]) -> tuple[object, ...]:
    business = expect(business, "business_id", "name")
    names = ("business_id", "name", "max_concurrent_calls", "from_number", "default_region", "timezone")
    return (*(business.get(name) for name in names), when(business.get("created_at")))
