"""Processes that begin warm are processes: they end, are killed, and leave nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.processes import alive
from tests.support.warm import Warm

# Refused for its settings, before anything is opened.
REFUSED = 2


def begun(tmp_path: Path, **environment: str) -> Warm:
    log = tmp_path / "some.log"
    log.write_bytes(b"")
    return Warm("dialer", {"PATH": os.environ["PATH"], **environment}, log)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_its_output_and_its_exit_code_are_its_own(tmp_path: Path) -> None:
    process = begun(tmp_path)
    assert process.wait() == REFUSED
    assert process.poll() == REFUSED
    assert "DATABASE_URL" in (tmp_path / "some.log").read_text()
    assert not alive(process.pid)


def test_one_that_was_killed_says_by_what(tmp_path: Path) -> None:
    # It waits for a Postgres that is not there.
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}
    account = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "token"}
    process = begun(tmp_path, PUBLIC_BASE_URL="https://example.com", **nowhere, **account)
    assert process.poll() is None
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.send_signal(signal.SIGTERM)  # nobody is there any more


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files are counted in /proc")
def test_those_that_ended_keep_no_file_open(tmp_path: Path) -> None:
    begun(tmp_path).wait()
    before = open_files()
    ended = [begun(tmp_path) for _ in range(5)]
    assert [process.wait() for process in ended] == [REFUSED] * 5
    assert open_files() == before


def test_what_python_reads_as_it_starts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="PYTHONFAULTHANDLER"):
        begun(tmp_path, PYTHONFAULTHANDLER="1")
