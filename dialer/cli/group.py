"""The group of commands, which turns every foreseen trouble into a message and an exit code."""

import errno
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from dialer.cli.failures import BAD_INPUT, FAILED, BadInput, Failed, say
from dialer.cli.troubles import Refused, Unreachable
from dialer.embedded import EmbeddedServersError
from dialer.errors import CheckYourSettings

# The server's ways of saying that the input, not the moment or the right, is at fault.
_INPUT_AT_FAULT = (400, 413, 415, 422)


def example(*lines: str) -> str:
    """The epilog of a command's help that shows how it is used."""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  {line}" for line in lines)])


class Loaded(Mapping[str, click.Command]):
    """Commands by name, each loaded when it is asked for: a short one does not wait for the others' libraries."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """`places`: name -> module, the command being named in it as it is itself."""
        self._places = places

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(self._places[name]), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class Commands(click.Group):
    """Lists its commands in the order given, and lets no exception of ours become a traceback."""

    def __init__(self, name: str, places: Mapping[str, str], **details: Any) -> None:
        super().__init__(name, **details)
        self.commands = Loaded(places)  # type: ignore[assignment] # nothing is ever added to it

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CheckYourSettings as fault:
            raise BadInput(str(fault)) from fault
        except (EmbeddedServersError, Unreachable) as trouble:
            raise Failed(str(trouble)) from trouble
        except OSError as trouble:
            if trouble.errno == errno.EPIPE:  # who reads our output has gone: click ends quietly
                raise
            raise Failed(f"{trouble.filename or 'this machine'}: {trouble.strerror or trouble}") from trouble
        except Refused as refusal:
            say(f"Error: {refusal}")
            ctx.exit(BAD_INPUT if refusal.status in _INPUT_AT_FAULT else FAILED)
