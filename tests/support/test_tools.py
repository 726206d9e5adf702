"""Finding programs, and doing without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tools


def _program(folder: Path, name: str, exit_code: int) -> Path:
    program = folder / name
    program.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    program.chmod(0o755)
    return program


def test_a_program_is_found_only_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    sound = _program(tmp_path, "dialer-test-sound", 0)
    _program(tmp_path, "dialer-test-broken", 1)
    assert tools.find("dialer-test-sound") == sound
    assert tools.find("dialer-test-broken") is None
    assert tools.find("dialer-test-absent") is None


def test_unpacked_programs_find_their_libraries_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    assert tools.environment()["LD_LIBRARY_PATH"].split(":")[-1] == "/somewhere"


def test_a_machine_without_packages_is_told_so_in_one_line_and_is_no_failure(tmp_path: Path) -> None:
    # A prefix without tools, and a PATH without apt: as on a machine that is no Debian.
    bare = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TOOLS, str(tmp_path)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert bare.returncode == 0, bare.stderr
    assert bare.stderr.count("\n") == 1
    assert "this is no Debian" in bare.stderr
    assert not (tmp_path / "stamp").exists()


_WITHOUT_TOOLS = """
import sys
from pathlib import Path
place = Path(sys.argv[1])
sys.prefix = str(place)
from tests.tools import fetch
fetch.PACKAGE_OF = {"dialer-test-absent": "dialer-test-absent"}
fetch.main(place / "tools", place / "stamp")
"""
