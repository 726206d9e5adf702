"""What the other tests look through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.system.stack import Process


def test_a_line_of_a_log_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Processes write on while they are looked at; a letter of two bytes may be there by half."""
    log = tmp_path / "some.log"
    whole, begun = b'{"event": "FIRST"}\n', '{"event": "SECOND", "name": "é'.encode()[:-1]
    with subprocess.Popen([sys.executable, "-c", ""]) as popen:
        process = Process("some", popen, log)
        for written, seen in ((b"", []), (begun, []), (whole, ["FIRST"]), (whole + begun, ["FIRST"])):
            log.write_bytes(written)
            assert [event["event"] for event in process.events()] == seen
