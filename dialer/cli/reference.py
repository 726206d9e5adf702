"""`python -m dialer.cli.reference`: docs/cli.md, made from the commands themselves."""

import inspect
import sys
from collections.abc import Iterator

import click

_INTRODUCTION = """# The `dialer` command

This page is made from the code by `python -m dialer.cli.reference > docs/cli.md`; `dialer COMMAND --help` says the
same.

Data goes to stdout, talk to stderr, so that pipes and files hold data only. On a terminal tables have lines and
progress is a bar; elsewhere there are plain lines. `NO_COLOR` is obeyed.

**`--json`** gives data as JSON: one object for one thing; for a list one array with an item a line, written as it
comes, however long it is (one that broke off lacks its closing bracket, and the exit code is 1); for what goes on
(`runs follow`, `start --watch`, `status --watch`) an object a line.

**Exit codes**: 0 done, 1 failed (refused, unreachable, a followed run that did not complete), 2 bad usage: an option, a
file, a setting, or an input that the server calls invalid.

**Environment** of the commands that talk to control:

| variable | meaning |
|---|---|
| `DIALER_URL` | where control is, `http://127.0.0.1:8080` unless set |
| `DIALER_TOKEN`, `DIALER_TOKEN_FILE` | a key of a business or the operator's token, or a file that holds it |
| `DIALER_BUSINESS` | the business that the operator acts for |

**When the server is busy** (429 or 503), what only reads waits as long as it is asked to and asks again, three times
at most and never longer than 10 s; so do `start` and `runs retry`, also when the answer got lost: they send an
`Idempotency-Key`, so nothing is started twice. Every other command sends its request once.

**Completion** in the shell: see `dialer completion`. As a manual page: `man -l docs/dialer.1`.

`doctor`, `slots`, `config`, `migrate`, `up`, `demo` and `serve` read the settings of
[configuration.md](configuration.md) instead, as the processes do.
"""
_EVERYWHERE = """
## Options of every command that talks to control

"""
SHARED = ("server", "token", "token_file")


def reference(main: click.Group) -> str:
    """The whole page, as Markdown."""
    parts = [_INTRODUCTION, _EVERYWHERE]
    shared = {option.name: option for _, command in leaves(main) for option in command.params}
    parts += [_option(option) for name in SHARED if isinstance(option := shared.get(name), click.Option)]
    parts += [_described(path, command) for path, command in leaves(main)]
    return "".join(parts)


def leaves(group: click.Group, path: str = "dialer") -> Iterator[tuple[str, click.Command]]:
    """The commands that do something, with their whole names, in the order of the help."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def examples(command: click.Command) -> list[str]:
    """The command lines in the epilog that `example` made."""
    return [line.strip() for line in plain(command.epilog).splitlines()[1:]]


def arguments_of(command: click.Command) -> list[str]:
    """What follows a command's name, as in its usage."""
    arguments = [one.metavar or str(one.name).upper() for one in command.params if isinstance(one, click.Argument)]
    return [*(["[OPTIONS]"] if _own_options(command) else []), *arguments]


def names_of(option: click.Option) -> list[str]:
    """Such as `--limit N`, the short one first."""
    return [f"{name}{_value_of(option)}" for name in sorted(option.opts, key=len)]


def meaning_of(option: click.Option) -> str:
    """Its help in one line, with the variable that stands for it and its default."""
    notes = [f"`{option.envvar}`"] if isinstance(option.envvar, str) else []
    if option.show_default and not option.is_flag:
        notes.append(f"default: {option.default}")
    return " ".join([*(option.help or "").split(), *([f"({'; '.join(notes)})"] if notes else [])])


def plain(text: str | None) -> str:
    """Help without the marks that only click reads."""
    return inspect.cleandoc((text or "").replace("\b", ""))


def _described(path: str, command: click.Command) -> str:
    usage = " ".join([path, *arguments_of(command)])
    lines = "".join(_option(option) for option in _own_options(command))
    shown = "\n".join(examples(command))
    return (
        f"\n## `{path}`\n\n```\n{usage}\n```\n\n{plain(command.help)}\n"
        + (f"\n{lines}" if lines else "")
        + (f"\n```sh\n{shown}\n```\n" if shown else "")
    )


def _own_options(command: click.Command) -> list[click.Option]:
    return [one for one in command.params if isinstance(one, click.Option) and one.name not in SHARED]


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in names_of(option))
    return f"- {names}: {meaning_of(option)}".rstrip(": ") + "\n"


def _value_of(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + "|".join(option.type.choices)
    return f" {option.metavar or 'N'}"


if __name__ == "__main__":
    from dialer.cli import main

    sys.stdout.write(reference(main))
