"""Each step of the image is done, and what comes of it serves as the image's user: see image.py for how."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dialer.cli.ports import free_port
from tests.cli.running import line_with
from tests.deploy.image import USER, Image, as_ordinary_user, instructions
from tests.deploy.test_compose import COMPOSE
from tests.support.proxy import proxy_before
from tests.support.servers import reachable_directory
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with reachable_directory() as root:
        made = Image(root)
        made.build()
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", str(USER), root / "var"], check=True)
        yield made


@pytest.fixture(scope="module")
def user(image: Image) -> list[str]:
    prefix = as_ordinary_user(image.root)
    if prefix is None:
        pytest.skip("no way here to run as an ordinary user: neither setpriv nor unshare does")
    return prefix


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    told = subprocess.run([hadolint, "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, told.stdout) == (0, "")


def test_every_step_was_done(image: Image) -> None:
    steps = [one.rest for one in instructions() if one.word == "RUN"]
    assert steps == [image.ran[0], image.ran[1], *(step for step in steps if step.startswith("useradd"))]


def test_nothing_that_builds_or_installs_is_in_it(image: Image) -> None:
    """The last stage takes nothing but the virtual environment, and in that are the programs that serve."""
    [copied] = [one.rest for one in instructions() if one.word == "COPY" and one.stage == 1]
    assert copied == "--from=build /opt/dialer /opt/dialer"
    assert {path.name for path in image.packages.glob("*")} & {"pip", "setuptools", "hatchling"} == set()
    assert "pytest" not in {path.name for path in image.packages.glob("*")}


def test_the_user_is_made(tmp_path: Path) -> None:
    [command] = [one.rest for one in instructions() if one.rest.startswith("useradd")]
    program = shutil.which("useradd", path="/usr/sbin:/usr/bin")
    if os.getuid() != 0 or program is None:
        pytest.skip("making users needs root, and useradd")
    (tmp_path / "etc").mkdir()
    (tmp_path / "var" / "lib").mkdir(parents=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    subprocess.run([program, "--prefix", tmp_path, *command.split()[1:]], check=True, capture_output=True)
    home = tmp_path / "var" / "lib" / "dialer"
    assert (tmp_path / "etc" / "passwd").read_text().startswith(f"dialer:x:{USER}:")
    assert home.stat().st_uid == USER


async def test_what_it_starts_serves_and_is_probed_and_stops(
    image: Image, user: list[str], empty_database: str, redis_url: str
) -> None:
    """The composition's migration, then the image's own command (both roles) and its probe."""
    async with proxy_before(empty_database) as postgres, proxy_before(redis_url) as redis:
        given = {
            **image.environment,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "token",
            "TWILIO_API_BASE_URL": "http://127.0.0.1:1",
            "DIALER_ADMIN_TOKEN": "operator",
            # Not the image's: this machine is no container.
            "CONTROL_HOST": "127.0.0.1",
            "CONTROL_PORT": str(free_port("127.0.0.1")),
        }
        migration, [serve, probe] = COMPOSE["services"]["migrate"]["command"], commands()

        async def well() -> bool:
            async with started(image, user, probe, given) as process:
                return await process.wait() == 0

        async with started(image, user, migration, given) as process:
            said, _ = await process.communicate()
            assert process.returncode == 0, said.decode()
        async with started(image, user, serve, given) as process:
            for _ in range(2):
                await line_with(process.stdout, '"STARTUP"')
            await eventually(well, timeout=30)
            process.terminate()
            await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 0
        assert not await well()


async def test_the_demos_carrier_is_in_it(image: Image, user: list[str]) -> None:
    command = COMPOSE["services"]["simulator"]["command"]
    local = [{"0.0.0.0": "127.0.0.1", command[-1]: "0"}.get(word, word) for word in command]
    async with started(image, user, local, image.environment) as process:
        assert "http://127.0.0.1:" in await line_with(process.stdout, "url")


def commands() -> list[list[str]]:
    """The image's own command, and its probe."""
    found = {
        one.word: json.loads(one.rest[one.rest.index("[") :])
        for one in instructions()
        if "CMD" in one.word + one.rest
    }
    return [found["CMD"], found["HEALTHCHECK"]]


@asynccontextmanager
async def started(
    image: Image, user: list[str], command: list[str], environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *user,
        *image.command(*command),
        cwd=image.directory,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
