"""Commands in the documents: those of ours exist, with the options and the kinds of values that they are given."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dialer.cli import main
from tests.docs.pages import DOCUMENTS, SHELLS, TOP, Fence, fences_of, name_of, spans_of, text_of
from tests.docs.routes import is_served
from tests.docs.shell import Words, commands

FENCES = [fence for document in DOCUMENTS for fence in fences_of(document) if fence.language in SHELLS]
TARGETS = set(re.findall(r"^([\w.-]+):", text_of(TOP / "Makefile"), re.MULTILINE))
# Something to be replaced by whoever reads.
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*[$<>…\[\]|].*")


@pytest.mark.parametrize("fence", FENCES, ids=lambda fence: fence.where)
def test_commands_are_good_usage(fence: Fence) -> None:
    faults = [fault for words in commands(fence.text) for fault in _faults(words)]
    assert faults == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_in_prose_exist(document: Path) -> None:
    faults = [
        fault for span in spans_of(document) for words in _in_prose(span) for fault in _faults(words, whole=False)
    ]
    assert faults == []


def test_faults_are_found() -> None:
    """What the other tests here are made of finds what is wrong, and nothing where nothing is."""
    good = "export A=$(dialer runs list) && X=1 .venv/bin/dialer runs show 7 --jobs > file # dialer dance"
    assert [fault for words in commands(good) for fault in _faults(words)] == []
    for bad in (
        *("dialer dance", "dialer runs dance 7", "dialer runs show 7 --joobs", "dialer runs show seven"),
        *("true | dialer runs", "dialer runs show", "X=$(dialer dance)", "make dance", "python -m dialer.dance"),
        *("sudo -u x dialer runs dance", "curl http://127.0.0.1:8080/api/dance", "curl -X POST $URL/api/runs/1"),
        "curl -d x '$URL/api/runs/7/jobs'",
    ):
        assert [fault for words in commands(bad) for fault in _faults(words)], bad


def _in_prose(span: str) -> Iterator[Words]:
    if re.match(r"(\S*/)?dialer [a-z]|make [a-z]|python -m ", span):
        yield re.sub(r"[\[\]]", " ", span).split()


def _faults(words: Words, *, whole: bool = True) -> Iterator[str]:
    """What is wrong with a command, when it is one of ours. Not `whole`: what it is about may be missing."""
    for at, word in enumerate(words):
        rest = words[at + 1 :]
        if word.rpartition("/")[2] == "dialer" and (at == 0 or (rest and rest[0] in main.commands)):
            yield from _faults_of_ours(rest, whole)
            return
    if words[:1] == ["make"]:
        named = [word for word in words[1:] if re.fullmatch(r"[a-z][\w-]*", word)]
        yield from (f"make {target}" for target in named if target not in TARGETS)
    elif "-m" in words and words[0].rpartition("/")[2].startswith("python"):
        module = words[words.index("-m") + 1]
        if module.partition(".")[0] in (
            "dialer",
            "control",
            "simulator",
            "sql",
            "tests",
            "bench",
        ) and not _is_there(module):
            yield f"python -m {module}"
    elif words[0] == "curl":
        yield from _faults_of_curl(words)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _faults_of_ours(words: Words, whole: bool) -> Iterator[str]:
    command: click.Command = main
    path = ["dialer"]
    while isinstance(command, click.Group) and words and re.match(r"[a-z]", words[0]):
        name, *words = words
        alternatives = name.rstrip(",").split("|")
        if missing := [one for one in alternatives if one not in command.commands]:
            yield f"{' '.join(path)}: no command {', '.join(missing)}"
            return
        path.append(name)
        command = command.commands[alternatives[0]]
    if isinstance(command, click.Group):
        if whole and command is not main and words[:1] != ["--help"]:
            yield f"{' '.join(path)}: of its commands none is named"
        return
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help",
        "-h",
    }
    given = [re.split("[=|]", word)[0] for word in words if re.match(r"--?[a-z]", word)]
    if unknown := [option for option in given if option not in known]:
        yield f"{' '.join(path)}: no option {', '.join(unknown)}"
    elif not any(PLACEHOLDER.fullmatch(word) for word in words) and "--help" not in words:
        yield from _misuse(command, path, words, whole)


def _misuse(command: click.Command, path: list[str], words: Words, whole: bool) -> Iterator[str]:
    try:
        command.make_context(" ".join(path), list(words))
    except click.UsageError as fault:
        if whole or not isinstance(fault, click.MissingParameter):
            yield f"{' '.join([*path, *words])}: {fault.format_message()}"


def _faults_of_curl(words: Words) -> Iterator[str]:
    method = "POST" if any(re.match(r"-d|--data|-F|--json", word) for word in words) else "GET"
    for flag, value in itertools.pairwise(words):
        method = value if flag in ("-X", "--request") else method
    for word in words:
        found = re.match(
            r"(?:https?://[^/\s]+|\$\{?\w+\}?)(/(?:api|webhook|livez|readyz|metrics|docs)[^?\s]*)", word
        )
        if found and not is_served(method, found[1]):
            yield f"curl {method} {found[1]}"
