"""Databases that come and go with a test, on a server that may be anybody's."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from sql.migrate import migrate

T = TypeVar("T")


class Databases:
    """Makes and drops databases of a name of its own; touches no others.

    It has a thread with an event loop and one connection, so that tests with and without a loop can use it.
    """

    def __init__(self, server_dsn: str) -> None:
        self._server_dsn = server_dsn
        self._prefix = f"dialer_test_{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._template: str | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection: Any = self._run(asyncpg.connect(server_dsn))

    def create_migrated(self) -> str:
        """A fresh copy of the migrated template; returns its DSN."""
        if self._template is None:
            self._template = self._make_template()
        name = self._create(self._template)
        self._run(self._become_another_installation(name))
        return self.dsn(name)

    def create_empty(self) -> str:
        """A database without any table; returns its DSN."""
        return self.dsn(self._create("template0"))

    def drop(self, dsn: str) -> None:
        """Drop it, whoever is still connected."""
        self._drop(urlsplit(dsn).path.removeprefix("/"))

    def dsn(self, name: str) -> str:
        server = urlsplit(self._server_dsn)
        return f"{server.scheme}://{server.netloc}/{name}" + (f"?{server.query}" if server.query else "")

    def close(self) -> None:
        if self._template is not None:
            self._drop(self._template)
        self._run(self._connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _create(self, template: str) -> str:
        name = f"{self._prefix}_{next(self._numbers)}"
        # With fsync=off its checkpoints cost little, and dropping the copy later is three times as fast.
        self._run(self._connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'))
        return name

    def _drop(self, name: str) -> None:
        assert name.startswith(self._prefix)
        self._run(self._connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def _make_template(self) -> str:
        name = self._create("template0")
        try:
            self._run(migrate(self.dsn(name)))
        except BaseException:
            self._drop(name)
            raise
        return name

    async def _become_another_installation(self, name: str) -> None:
        """The id is the namespace of the keys in Redis, which copies must not share."""
        connection = await asyncpg.connect(self.dsn(name))
        try:
            if await connection.fetchval("SELECT to_regclass('installation') IS NOT NULL"):
                await connection.execute("UPDATE installation SET id = gen_random_uuid()")
        finally:
            await connection.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)
