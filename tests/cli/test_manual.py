"""The manual page is what the commands say, and a page that `man` can show."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dialer.cli import main
from dialer.cli.manual import manual
from dialer.cli.reference import leaves

PAGE = Path(__file__).parents[2] / "docs" / "dialer.1"
REQUESTS = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".BR", ".IR", ".RI", ".EX", ".EE", r".\""}


def test_it_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual(main), "python -m dialer.cli.manual > docs/dialer.1"


def test_every_command_has_its_place_and_nothing_is_taken_for_a_request() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    headed = [line.removeprefix(".SS ").replace("\\-", "-") for line in lines if line.startswith(".SS ")]
    assert len(headed) == len(list(leaves(main)))
    assert all(head.startswith(path) for head, (path, _) in zip(headed, leaves(main), strict=True))
    assert {line.split()[0] for line in lines if line.startswith(".")} <= REQUESTS
    assert not re.search(r"(?<!\\)-", "\n".join(line for line in lines[3:] if not line.startswith('.\\"')))


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not on this machine")
def test_groff_has_nothing_to_say_against_it() -> None:
    shown = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", str(PAGE)], capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""
    assert "dialer drain" in shown.stdout
