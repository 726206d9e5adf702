"""The nginx of the documentation before a real control: signatures hold, events come at once, calls go their way."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dialer.cli.ports import free_port
from dialer.config import Settings
from simulator import INSTANT
from tests.deploy.reading import TOP
from tests.support import tools
from tests.support.servers import reachable_directory
from tests.system.stack import TOKEN, Stack, numbers, stack

CONFIGURATION = (TOP / "deploy" / "proxy" / "nginx.conf").read_text()
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def nginx(port: int, control: str) -> Iterator[None]:
    """Our file, but for its address, its certificate and where control is."""
    program = tools.find("nginx")
    if program is None:
        pytest.skip("there is no nginx, and Debian's package could not be had")
    ours = CONFIGURATION.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    ours = ours.replace("127.0.0.1:8080", control.removeprefix("http://"))
    ours = re.sub(r"^ *ssl_.*\n", "", ours, flags=re.M)
    with reachable_directory() as place:
        (place / "nginx.conf").write_text(around(place, ours))
        process = subprocess.Popen(
            [program, "-p", place, "-e", "error.log", "-c", place / "nginx.conf"], env=tools.environment()
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def around(place: Path, ours: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {place}/{kind};\n" for kind in kinds)
    return (
        f"daemon off; master_process off; pid {place}/pid;\nevents {{}}\n"
        f"http {{ access_log off;\n{paths}{ours} }}\n"
    )


async def event(stream: Any, name: str) -> dict[str, Any]:
    """The next event of this name; its data."""
    async with asyncio.timeout(10):
        async for line in stream.content:
            if line.decode().strip() == f"event: {name}":
                data: dict[str, Any] = json.loads((await stream.content.readline()).removeprefix(b"data: "))
                return data
    raise AssertionError("the stream ended")


async def test_a_run_goes_its_way_through_nginx(database: str, redis_url: str, tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    outside = f"http://127.0.0.1:{port}"
    async with stack(database, redis_url, tmp_path, INSTANT) as system:
        control = system.spawn("control", CONTROL_PORT="0", PUBLIC_BASE_URL=outside)
        with nginx(port, (await control.started())["url"]):
            system.url = system.environment["PUBLIC_BASE_URL"] = outside
            await system.is_ready()
            await system.daemon()
            await watched_run(system)
            async with system.http.get(f"{outside}/metrics", headers=AUTHORIZED) as hidden:
                assert hidden.status == 404


async def watched_run(system: Stack) -> None:
    business = await system.business(limit=2)
    events = f"{system.url}/api/events?business_id={business}"
    async with system.http.get(events, headers=AUTHORIZED) as stream:
        assert (await event(stream, "snapshot"))["runs"] == []
        run = await system.start(business, list(numbers(6, 10)))
        assert (await event(stream, "run"))["run_id"] == run
        # By callbacks that came through nginx: nothing else ends a call so soon.
        shown = await system.ended(run)
    assert (shown["status"], shown["completed"]) == ("completed", 6)
    await system.check(run, limit=2)


def test_it_lets_a_list_through_that_control_would_take() -> None:
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", CONFIGURATION)
    [mebibytes] = re.findall(r"max_size (\d+)MiB", (TOP / "deploy" / "proxy" / "Caddyfile").read_text())
    assert int(megabytes) * 2**20 == int(mebibytes) * 2**20 == Settings().max_request_bytes
