"""The group of commands, which turns every foreseen trouble into a message and an exit code."""

import errno
from collections.abc import Sequence
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


class Commands(click.Group):
    """Lists its commands in the order given, and lets no exception of ours become a traceback."""

    def __init__(self, name: str, commands: Sequence[click.Command], **details: Any) -> None:
        super().__init__(name, commands={str(command.name): command for command in commands}, **details)

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
