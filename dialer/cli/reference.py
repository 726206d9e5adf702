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

**Completion** in the shell, for bash (in `~/.bashrc`), zsh (`~/.zshrc`) and fish
(`~/.config/fish/completions/dialer.fish`):

```sh
eval "$(_DIALER_COMPLETE=bash_source dialer)"
eval "$(_DIALER_COMPLETE=zsh_source dialer)"
_DIALER_COMPLETE=fish_source dialer | source
```
"""
_EVERYWHERE = """
## Options of every command that talks to control

"""
_SHARED = ("server", "token", "token_file")


def reference(main: click.Group) -> str:
    """The whole page, as Markdown."""
    parts = [_INTRODUCTION, _EVERYWHERE]
    shared = {option.name: option for _, command in leaves(main) for option in command.params}
    parts += [_option(option) for name in _SHARED if isinstance(option := shared.get(name), click.Option)]
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
    return [line.strip() for line in _plain(command.epilog).splitlines()[1:]]


def _described(path: str, command: click.Command) -> str:
    arguments = [one.metavar or str(one.name).upper() for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in _SHARED]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *arguments])
    lines = "".join(_option(option) for option in options)
    shown = "\n".join(examples(command))
    return (
        f"\n## `{path}`\n\n```\n{usage}\n```\n\n{_plain(command.help)}\n"
        + (f"\n{lines}" if lines else "")
        + (f"\n```sh\n{shown}\n```\n" if shown else "")
    )


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}{_value_of(option)}`" for name in sorted(option.opts, key=len))
    notes = [f"`{option.envvar}`"] if isinstance(option.envvar, str) else []
    if option.show_default and not option.is_flag:
        notes.append(f"default: {option.default}")
    meaning = " ".join([*(option.help or "").split(), *([f"({'; '.join(notes)})"] if notes else [])])
    return f"- {names}: {meaning}".rstrip(": ") + "\n"


def _value_of(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + "|".join(option.type.choices)
    return f" {option.metavar or 'N'}"


def _plain(text: str | None) -> str:
    return inspect.cleandoc((text or "").replace("\b", ""))


if __name__ == "__main__":
    from dialer.cli import main

    sys.stdout.write(reference(main))
