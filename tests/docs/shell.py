"""The shell commands in a document, taken apart far enough to see what is called with which words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

Words = list[str]

_HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?^\s*\2$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^|\s)#(?:\s[^\n]*|(?=\n|$))", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)
_KEYWORDS = {"do", "then", "else", "if", "while", "until", "!", "{", "exec", "time", "export"}
_PUNCTUATION = ";&|()<>\n"


def commands(script: str) -> Iterator[Words]:
    """Each simple command of a script, without assignments before it and redirections after it."""
    script = _HERE_DOCUMENT.sub(r"< here\3", script.replace("\\\n", " "))
    lexer = shlex.shlex(_COMMENT.sub(r"\1", script), posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: Words = []
    skip = False
    for token in [*lexer, "\n"]:
        if token and set(token) <= set(_PUNCTUATION):
            skip = bool(set(token) & set("<>")) and "\n" not in token
            if skip:
                continue
            yield from _one(words)
            words = []
        elif skip:
            skip = False
        else:
            words.append(token)


def _one(words: Words) -> Iterator[Words]:
    for word in words:
        for inner in re.findall(r"\$\(([^()]*)\)", word):
            yield from commands(inner)
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    if words:
        yield words
