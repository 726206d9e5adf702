"""PostgreSQL and Valkey for a whole test session: the embedded ones, or those that the environment names."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis

from dialer.embedded import start
from tests.support.environment import TESTS_DATABASE_URL, TESTS_REDIS_URL

ROOM_IN_MEMORY_BYTES = 8 * 2**30
OWNER_KEY = "dialer:tests:owner"
# Atomically: nobody's keys are there, and from now on it is seen to be taken.
_TAKE_EMPTY = """
if redis.call('DBSIZE') > 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


@dataclass(frozen=True)
class Servers:
    """Addresses of the session's servers. The Redis database is the session's alone."""

    dsn: str
    redis_url: str
    redis_is_shared: bool = False


@contextlib.contextmanager
def session_servers(environ: Mapping[str, str], session: str) -> Iterator[Servers]:
    """The servers named in the environment; what it does not name is started and ends with the session."""
    dsn, shared_redis = environ.get(TESTS_DATABASE_URL), environ.get(TESTS_REDIS_URL)
    with contextlib.ExitStack() as stack:
        servers = Servers("", "")
        if not (dsn and shared_redis):
            servers = stack.enter_context(_embedded())
        if dsn:
            servers = replace(servers, dsn=dsn)
        if shared_redis:
            own = stack.enter_context(_own_redis_database(shared_redis, session))
            servers = replace(servers, redis_url=own, redis_is_shared=True)
        yield servers


def empty_redis(servers: Servers, session: str) -> None:
    """Remove all keys of the session's database, which stays the session's."""
    with contextlib.closing(redis.Redis.from_url(servers.redis_url)) as client, client.pipeline() as together:
        together.flushdb()
        if servers.redis_is_shared:
            together.set(OWNER_KEY, session)
        together.execute()


@contextlib.contextmanager
def reachable_directory(*, durable: bool = True) -> Iterator[Path]:
    """A temporary directory that any user can enter (pytest's own are closed), as `nobody`'s servers need.

    One that need not be durable is in memory where there is room: to copy a database is to make hundreds of files.
    """
    directory = Path(tempfile.mkdtemp(prefix="dialer-tests-", dir=None if durable else _memory()))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _memory() -> Path | None:
    """A file system in memory, with room for the largest tests of some workers."""
    shared = Path("/dev/shm")
    with contextlib.suppress(OSError):
        found = os.statvfs(shared)
        # Run as root, the servers' programs are copied there, too.
        is_usable = os.access(shared, os.W_OK) and not found.f_flag & getattr(os, "ST_NOEXEC", 0)
        if is_usable and found.f_bavail * found.f_frsize > ROOM_IN_MEMORY_BYTES:
            return shared
    return None


@contextlib.contextmanager
def _embedded() -> Iterator[Servers]:
    with reachable_directory(durable=False) as directory, start(directory, fsync=False) as servers:
        yield Servers(servers.dsn, servers.redis_url)


@contextlib.contextmanager
def _own_redis_database(redis_url: str, session: str) -> Iterator[str]:
    """One of the server's numbered databases that was empty; emptied again at the end."""
    for number in range(15, 0, -1):
        own_url = _with_database(redis_url, number)
        with contextlib.closing(redis.Redis.from_url(own_url)) as client:
            if client.eval(_TAKE_EMPTY, 1, OWNER_KEY, session):
                yield own_url
                client.flushdb()
                return
    raise RuntimeError("every database from 1 to 15 of the Redis at REDIS_URL has keys: empty one for the tests")


def _with_database(redis_url: str, number: int) -> str:
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"unix://{parts.netloc}{parts.path}?db={number}"
    return urlunsplit(parts._replace(path=f"/{number}"))
