"""`python -m dialer.cli.manual`: docs/dialer.1, the manual page, made from the commands themselves.

Read it with `man -l docs/dialer.1`; installed as /usr/local/share/man/man1/dialer.1 it is `man dialer`.
"""

import re
import sys
from collections.abc import Iterator

import click

from dialer.cli.reference import SHARED, arguments_of, examples, leaves, meaning_of, names_of, plain

_HEAD = r"""'\" t
.\" Made from the code by: python -m dialer.cli.manual > docs/dialer.1
.TH DIALER 1 "" "dialer" "User Commands"
.SH NAME
dialer \- works through lists of calls
.SH SYNOPSIS
.B dialer
.I COMMAND
.RI [ OPTIONS ]
.RI [ ARGUMENTS ]
.SH DESCRIPTION
At most one call per attempt, never more than the limit at once, through any crash.
.PP
Data goes to stdout, talk to stderr.
With
.B \-\-json
data is JSON: one object for one thing, an array with an item a line for a list, an object a line for what goes on.
.SH COMMANDS
"""
_TAIL = r""".SH ENVIRONMENT
Commands that talk to control read these; those that start or look at processes read the settings of
.IR docs/configuration.md ,
which
.B dialer config show
lists.
.TP
.B DIALER_URL
Where control is, http://127.0.0.1:8080 unless set.
.TP
.BR DIALER_TOKEN ", " DIALER_TOKEN_FILE
A key of a business or the operator's token, or a file that holds it.
.TP
.B DIALER_BUSINESS
The business that the operator acts for.
.TP
.B NO_COLOR
Set: no colour.
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Failed: refused, unreachable, a followed run that did not complete, a check of
.B dialer doctor
that is FAIL.
.TP
.B 2
Bad usage: an option, a file, a setting, or an input that the server calls invalid.
"""


def manual(main: click.Group) -> str:
    """The whole page, in the macros of man(7)."""
    shared = {option.name: option for _, command in leaves(main) for option in command.params}
    common = [_option(option) for name in SHARED if isinstance(option := shared.get(name), click.Option)]
    parts = [_HEAD, *(line for path, command in leaves(main) for line in _described(path, command))]
    parts += [".SH OPTIONS OF EVERY COMMAND THAT TALKS TO CONTROL\n", *common, _TAIL]
    return "".join(parts)


def _described(path: str, command: click.Command) -> Iterator[str]:
    usage = " ".join([path, *arguments_of(command)])
    yield f".SS {_escaped(usage)}\n"
    for paragraph in re.split(r"\n{2,}", plain(command.help)):
        yield f".PP\n{_lines(paragraph)}"
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in SHARED:
            yield _option(option)
    if shown := examples(command):
        lines = "".join(f"{_lines(line)}" for line in shown)
        yield f".PP\n.EX\n{lines}.EE\n"


def _option(option: click.Option) -> str:
    names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in names_of(option))
    return f".TP\n{names}\n{_lines(meaning_of(option))}"


def _lines(text: str) -> str:
    return "".join(f"{_escaped(line)}\n" for line in text.splitlines() if line.strip()) or "\\&\n"


def _escaped(text: str) -> str:
    r"""Nothing in it is a request: a backslash, a dot or a quote that begins a line, a dash that must stay one."""
    shown = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga")
    return rf"\&{shown}" if shown[:1] in (".", "'") else shown


if __name__ == "__main__":
    from dialer.cli import main

    sys.stdout.write(manual(main))
