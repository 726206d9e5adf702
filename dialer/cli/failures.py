"""How a command fails: one clear message on stderr and an exit code, never a traceback."""

import sys

import click

FAILED, BAD_INPUT = 1, 2


class Failed(click.ClickException):
    """It could not be done; the message says why and what to do. Exit code 1."""

    exit_code = FAILED


class BadInput(click.ClickException):
    """What was given is at fault: a file, an option's value, the configuration. Exit code 2."""

    exit_code = BAD_INPUT


def say(text: str) -> None:
    """Talk: to stderr, so that stdout holds data only."""
    click.echo(text, err=True)
    sys.stderr.flush()
