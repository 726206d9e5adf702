"""The commands of docs/first-run.md and of the README's first run, given as they stand there, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.cli.running import line_with, running
from tests.docs.pages import TOP, Fence, fences_of, text_of
from tests.docs.quick import quick_dialer
from tests.support.servers import reachable_directory

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl"),
]

FIRST_RUN, README, TROUBLES = TOP / "docs" / "first-run.md", TOP / "README.md", TOP / "docs" / "troubleshooting.md"
QUICK = {
    "queue_seconds": 0,
    "setup_seconds": 0.05,
    "ring_seconds": 0.05,
    "no_answer_seconds": 0.1,
    "talk_seconds": 0.2,
}
# The first call to it is short; the second, in the run that is paused and stopped, is longer than all of that takes.
SLOW = {
    "to": "+12025550110",
    "outcomes": [{"outcome": "answered"}, {"outcome": "answered", "talk_seconds": 8}],
}
ADDRESS = "127.0.0.1:8080"
# Of what is shown in the document the lines that do not differ from time to time.
SHOWN = (
    *("status            ok", "run 1 pending: 6 queued, 1 duplicate left out, 1 rejected"),
    *("  line 7: invalid phone, not dialed", "called: the line was busy (486)"),
    "run 1 completed: 6 of 6 done, 0 live; 3 answered, 1 busy, 1 no_answer, 1 invalid_number",
)


async def test_the_commands_do_what_the_documents_say() -> None:
    with reachable_directory() as place:
        (place / ".venv" / "bin").mkdir(parents=True)
        with quick_dialer(place / ".venv" / "bin"):
            await walk(place)


async def walk(place: Path) -> None:
    async with up(place) as (url, simulator):
        await prepare(simulator)
        said = await given(place, url, blocks(FIRST_RUN))
        shown = [line for line in SHOWN if line in text_of(FIRST_RUN)]
        assert shown == list(SHOWN)
        assert [line for line in shown if line not in said] == []
        # How many were dialed before it was paused is a matter of a moment.
        assert re.search(r"run 2 stopped: \d jobs? cancelled", said)
        assert re.search(r"run 3 completed: (\d) of \1 done", said)
        assert (place / "spring-report.csv").read_text().count("\n") == 7

        said = await given(place, url, blocks(README, "## A first run by hand"))
        told = set(re.findall(r'"code": "(\w+)"', said))
        # When the run was quick, none is active any more.
        assert told - {"no_active_run"} == {"invalid_phone"}
        assert '"queued": 2' in said

        if shutil.which("openssl"):
            carrier = {"PUBLIC_BASE_URL": url, "TWILIO_AUTH_TOKEN": "simulated"}
            probe = blocks(TROUBLES, "## Callbacks 403")
            assert "HTTP/1.1 422" in await given(place, url, probe, carrier)
            carrier["TWILIO_AUTH_TOKEN"] = "another"
            assert "HTTP/1.1 403" in await given(place, url, probe, carrier)


@contextlib.asynccontextmanager
async def up(place: Path) -> AsyncIterator[tuple[str, str]]:
    """What the second step starts, at any free port: the addresses of control and of the simulator."""
    assert ".venv/bin/dialer up --simulator" in [fence.text.strip() for fence in fences_of(FIRST_RUN)]
    async with running("up", "--simulator", cwd=place, CONTROL_PORT="0") as process:
        line = await line_with(process.stderr, "up: http")
        simulated = await line_with(process.stderr, "simulated")
        yield line.split()[1], re.findall(r"http://[^:]+:\d+", simulated)[0]


async def prepare(simulator: str) -> None:
    async with aiohttp.ClientSession(simulator, raise_for_status=True) as session:
        await session.patch("/_sim/settings", json=QUICK)
        await session.post("/_sim/scripts", json=SLOW)


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
