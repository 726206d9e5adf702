"""`dialer migrate`: the same as `python -m sql.migrate`."""

import click

from dialer.cli.group import example
from sql.command import main


@click.command(epilog=example("dialer migrate --check"))
@click.option("--check", is_flag=True, help="Only tell whether the schema is current: exit code 0 or 1.")
@click.option("--strict", is_flag=True, help="Exit code 75, not 0, when others are migrating just now.")
@click.pass_context
def migrate(ctx: click.Context, check: bool, strict: bool) -> None:
    """Bring the database's schema up to date."""
    ctx.exit(main(["--check"] * check + ["--strict"] * strict))
