"""`dialer completion`: the scripts, and that they complete."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from dialer.cli import main
from tests.cli.running import DIALER


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_DIALER_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_bad_usage() -> None:
    assert CliRunner().invoke(main, ["completion", "csh"]).exit_code == 2


def test_bash_completes_with_it() -> None:
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    complete = "COMP_WORDS=(dialer runs fo); COMP_CWORD=2; _dialer_completion dialer; echo ${COMPREPLY[@]}"
    shown = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{complete}"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{Path(DIALER).parent}:/usr/bin:/bin"},
    )
    assert set(shown.stdout.split()) == {"follow", "force-cancel"}, shown.stderr
