"""A database that remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from control.database import Database, Statements


class Counted(Database):
    """Notes the statements that answer requests, by name; those of control's own loops go another way."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        self.asked.append(name)
        return await super().rows(name, *arguments, timeout=timeout)

    async def row(self, name: str, *arguments: Any, timeout: float | None = None) -> Any:
        self.asked.append(name)
        return await super().row(name, *arguments, timeout=timeout)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Statements]:
        async with super().transaction() as statements:
            yield _Counted(statements, self.asked)


class _Counted(Statements):
    """The same within a transaction; a COPY is one."""

    def __init__(self, statements: Statements, asked: list[str]) -> None:
        self._statements = statements
        self._asked = asked

    async def rows(self, name: str, *arguments: Any, timeout: float | None = None) -> list[Any]:
        self._asked.append(name)
        return await self._statements.rows(name, *arguments, timeout=timeout)

    async def row(self, name: str, *arguments: Any, timeout: float | None = None) -> Any:
        self._asked.append(name)
        return await self._statements.row(name, *arguments, timeout=timeout)

    async def copy(
        self, table: str, columns: Sequence[str], records: Iterable[tuple[Any, ...]], timeout: float
    ) -> None:
        self._asked.append(f"COPY {table}")
        await self._statements.copy(table, columns, records, timeout=timeout)
