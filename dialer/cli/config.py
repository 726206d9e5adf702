"""`dialer config`: the settings as a process that is started here would have them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import click

from dialer import config as settings_of
from dialer.cli.group import example
from dialer.cli.show import json_option, print_json_list, print_table
from dialer.config import MASK, SECRETS, Settings, without_password


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable. `value` is what is in force, masked where it is secret; None: unset, and nothing takes its place.

    `source`: `environment`, the file of NAME_FILE, or `default`.
    """

    name: str
    value: str | None
    source: str
    secret: bool


@click.group(epilog=example("dialer config show"))
def config() -> None:
    """Look at the settings."""


@config.command(epilog=example("dialer config show", "dialer config show --json"))
@json_option
def show(as_json: bool) -> None:
    """Show every setting with its value in force and where it comes from; secrets are masked.

    It reads the environment as the processes do, so it shows theirs when it is run as they are. Settings that no
    process would start with are told instead, all at once, with exit code 2.
    """
    found = in_force(settings_of.load(), os.environ)
    if as_json:
        print_json_list(asdict(setting) for setting in found)
    else:
        print_table(("setting", "value", "from"), ((one.name, one.value, one.source) for one in found))


def in_force(settings: Settings, environment: Mapping[str, str]) -> Iterator[Setting]:
    """Every setting, in the order of the class. A password within a URL is masked as well."""
    for field in Settings.model_fields:
        name = field.upper()
        is_secret = name in SECRETS
        value = _in_place_of_unset(settings, field)
        shown = None if value is None else MASK if is_secret else _text(value)
        yield Setting(name, shown, _source(name, environment), is_secret)


def _in_place_of_unset(settings: Settings, field: str) -> object:
    """What counts where the variable itself is unset: some settings follow others."""
    if field == "public_base_url":
        return settings.callback_base_url
    if field == "recordings_dir" and settings.recordings_url is None:
        return settings.recordings_root
    if field == "migration_database_url":
        return settings.migration_database_url or settings.database_url
    return getattr(settings, field)


def _source(name: str, environment: Mapping[str, str]) -> str:
    if name in SECRETS and (path := environment.get(f"{name}_FILE")):
        return f"{name}_FILE ({path})"
    return "environment" if environment.get(name) else "default"


def _text(value: object) -> str:
    """As it would stand in the variable."""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else without_password(str(value))
