"""What a check says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """OK; WARN: it works, and somebody should know; FAIL: it does not work, or will not for long."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is what was seen, `advice` what to do about it; empty when all is well. Neither holds a secret."""

    check: str
    level: Level
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Level.OK, found)


def warn(check: str, found: str, advice: str) -> Finding:
    return Finding(check, Level.WARN, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    return Finding(check, Level.FAIL, found, advice)


def worst(findings: Sequence[Finding]) -> Level:
    """OK when there is none."""
    levels = list(Level)
    return max((finding.level for finding in findings), key=levels.index, default=Level.OK)
