"""The commands of docs/first-run.md and of the README's first run, given as they stand there, one after the other."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from simulator import INSTANT
from simulator.outcomes import Outcome, Plan
from tests.docs.pages import TOP, Fence, fences_of, text_of
from tests.docs.quick import quick_dialer
from tests.system.stack import TOKEN, stack

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl"),
]

FIRST_RUN, README, TROUBLES = TOP / "docs" / "first-run.md", TOP / "README.md", TOP / "docs" / "troubleshooting.md"
CARRIER = replace(INSTANT, setup_seconds=0.05, ring_seconds=0.05, no_answer_seconds=0.1, talk_seconds=0.2)
# The first call to it is short; the second, in the run that is paused and stopped, is longer than all of that takes.
DANA, SLOW = "+12025550110", [Plan(Outcome.ANSWERED), Plan(Outcome.ANSWERED, talk_seconds=8)]
ADDRESS = "127.0.0.1:8080"
# Of what is shown in the document the lines that do not differ from time to time.
SHOWN = (
    *("status            ok", "run 1 pending: 6 queued, 1 duplicate left out, 1 rejected"),
    *("  line 7: invalid phone, not dialed", "called: the line was busy (486)"),
    "run 1 completed: 6 of 6 done, 0 live; 3 answered, 1 busy, 1 no_answer, 1 invalid_number",
)


async def test_the_commands_do_what_the_documents_say(database: str, redis_url: str, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    for folder in (".venv/bin", ".dialer"):
        (place / folder).mkdir(parents=True)
    (place / ".dialer" / "admin-token").write_text(f"{TOKEN}\n")
    carrier = {"TWILIO_FROM_NUMBER": "+12025550100"}
    with quick_dialer(place / ".venv" / "bin"):
        # What `dialer up --simulator` starts: that it does is shown by tests/cli/test_up.py.
        async with stack(database, redis_url, tmp_path, CARRIER, **carrier) as made:
            await made.daemon()
            made.sim.scripts.lay_down(DANA, SLOW)
            await walk(place, made.url, made.sim.settings.auth_token)


async def walk(place: Path, url: str, auth_token: str) -> None:
    said = await given(place, url, blocks(FIRST_RUN))
    shown = [line for line in SHOWN if line in text_of(FIRST_RUN)]
    assert shown == list(SHOWN)
    assert [line for line in shown if line not in said] == []
    # How many were dialed before it was paused is a matter of a moment.
    assert re.search(r"run 2 stopped: \d jobs? cancelled", said)
    assert re.search(r"run 3 completed: (\d) of \1 done", said)
    assert (place / "spring-report.csv").read_text().count("\n") == 7

    said = await given(place, url, blocks(README, "## A first run by hand"))
    # When the run was quick, none is active any more.
    assert set(re.findall(r'"code": "(\w+)"', said)) - {"no_active_run"} == {"invalid_phone"}
    assert '"queued": 2' in said

    if shutil.which("openssl"):
        probe = blocks(TROUBLES, "## Callbacks 403")
        for token, status in ((auth_token, 422), ("another", 403)):
            values = {"PUBLIC_BASE_URL": url, "TWILIO_AUTH_TOKEN": token}
            assert f"HTTP/1.1 {status}" in await given(place, url, probe, values)


def blocks(document: Path, heading: str = "") -> list[Fence]:
    """The commands below a heading, without those that set up, and that start what runs already."""
    begin = text_of(document).count("\n", 0, text_of(document).index(heading))
    level = heading.partition(" ")[0]
    after = [
        n for n, line in enumerate(text_of(document).splitlines()) if n > begin and line.startswith(f"{level} ")
    ]
    end = min(after) if heading and after else sys.maxsize
    found = [fence for fence in fences_of(document) if fence.language == "sh" and begin < fence.line < end]
    return [fence for fence in found if not re.match(r"make |.venv/bin/dialer up", fence.text)]


async def given(place: Path, url: str, fences: list[Fence], more: Mapping[str, str] | None = None) -> str:
    """What the commands say, given to one shell; none of them may fail."""
    assert fences
    script = "\n".join(fence.text for fence in fences).replace(ADDRESS, url.removeprefix("http://"))
    process = await asyncio.create_subprocess_exec(
        *("bash", "-eu", "-o", "pipefail", "-c", script),
        cwd=place,
        env={**os.environ, **(more or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, out.decode()
    return out.decode()
