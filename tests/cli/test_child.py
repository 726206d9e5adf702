"""Processes of a stack: their logs, their end, and that they do not outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from dialer.cli.child import Child, Program, environment_with
from tests.cli.running import processes_of
from tests.support.waiting import eventually_sync


def program(tmp_path: Path, code: str, stop_within: float = 5.0) -> Program:
    return Program(
        "child", (sys.executable, "-u", "-c", code), dict(os.environ), tmp_path / "child.log", stop_within
    )


def test_a_supervisor_hears_of_us_and_not_of_our_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SERVICE_ROLE", "all")
    kept = environment_with({})
    assert kept["SERVICE_ROLE"] == "all"
    assert not [name for name in kept if name.startswith(("NOTIFY", "WATCHDOG"))]


def test_a_child_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "print('a reason'); raise SystemExit(3)"))
    assert child.wait(10)
    assert child.exit_code == 3
    assert child.how_it_ended() == "exit code 3"
    assert child.last_words() == "a reason"


def test_a_signal_shows_as_a_shell_would_say_it(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "import signal; signal.pause()"))
    child.signal(signal.SIGKILL)
    assert child.wait(10)
    assert (child.exit_code, child.how_it_ended()) == (137, "SIGKILL")


def test_one_that_does_not_heed_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf'); signal.pause()"
    child = Child(program(tmp_path, deaf, stop_within=0.1))
    eventually_sync(lambda: "deaf" in child.last_words())
    assert child.stop() is False
    assert child.exit_code == 137


def test_lines_are_passed_on_whole_and_once(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "print('one'); print('two'); print('thr', end='')"))
    assert child.wait(10)
    assert child.new_lines() == ["one", "two"]
    assert child.new_lines() == []


def test_the_log_of_the_last_time_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        assert Child(program(tmp_path, f"print({word!r})")).wait(10)
    assert (tmp_path / "child.log").read_text() == "second\n"
    assert (tmp_path / "child.log.before").read_text() == "first\n"


def test_a_changed_variable_displaces_its_file_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN_FILE", "/run/secrets/token")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://somewhere/else")
    environment = environment_with({"TWILIO_AUTH_TOKEN": "simulated", "MIGRATION_DATABASE_URL": None})
    assert environment["TWILIO_AUTH_TOKEN"] == "simulated"
    assert "TWILIO_AUTH_TOKEN_FILE" not in environment
    assert "MIGRATION_DATABASE_URL" not in environment


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_child_dies_with_its_parent_even_by_kill_9(tmp_path: Path) -> None:
    mark = f"mark-{uuid.uuid4()}"
    parent = f"""
import os, signal, sys
from pathlib import Path
from dialer.cli.child import Child, Program
Child(Program("child", (sys.executable, "-c", "import signal; signal.pause()", "{mark}"), dict(os.environ)))
signal.pause()
"""
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        eventually_sync(lambda: any("signal.pause()" in line for line in _others(mark, process.pid)), timeout=20)
    finally:
        process.kill()
        process.wait()
    eventually_sync(lambda: not processes_of(mark))


def _others(mark: str, pid: int) -> list[str]:
    return [line for one, line in processes_of(mark).items() if one != pid]
