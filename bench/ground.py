"""What all measurements stand on: durable servers of their own, databases, and how figures are shown."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from dialer.embedded import EmbeddedServers, start
from sql.migrate import migrate
from tests.support.servers import reachable_directory


@contextmanager
def durable_servers() -> Iterator[EmbeddedServers]:
    """PostgreSQL with fsync on, and Valkey; gone at the end. From now on only warnings are logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with reachable_directory() as directory, start(directory, fsync=True) as servers:
        yield servers


async def new_database(dsn: str, name: str) -> str:
    """An empty database beside the others; its DSN."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return dsn.replace("/postgres?", f"/{name}?")


async def migrated_database(dsn: str, name: str) -> str:
    """The same with the current schema."""
    made = await new_database(dsn, name)
    await migrate(made)
    return made


def arguments(module: str, doc: str | None, *, runs: int = 5) -> argparse.ArgumentParser:
    """The options that every measurement has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{module}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=runs, help="how often; medians are of these")
    parser.add_argument("--json", action="store_true", help="the figures alone")
    return parser


@dataclass(frozen=True)
class Line:
    """One figure over all runs; `floor`: the same of the floor, in the same runs."""

    name: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float] = ()

    def figures(self) -> dict[str, float | str]:
        found: dict[str, float | str] = {
            "unit": self.unit,
            "median": statistics.median(self.ours),
            "least": min(self.ours),
            "most": max(self.ours),
        }
        if self.floor:
            found["floor"] = statistics.median(self.floor)
            found["ratio"] = statistics.median(self.ours) / statistics.median(self.floor)
        return found


def show(title: str, lines: Sequence[Line], *, as_json: bool) -> None:
    """A table, or JSON with the machine in it."""
    figures = {line.name: line.figures() for line in lines}
    if as_json:
        print(json.dumps({"title": title, "machine": machine(), "figures": figures}))
        return
    print(f"{title}\n{', '.join(f'{k} {v}' for k, v in machine().items())}")
    print(f"{'':40}" + "".join(f"{head:>11}" for head in ("median", "least", "most", "floor", "ratio")))
    for line in lines:
        row = figures[line.name]
        cells = "".join(_cell(row, head) for head in ("median", "least", "most", "floor", "ratio"))
        print(f"{line.name:<36}{line.unit:>4}{cells}")


def _cell(row: Mapping[str, float | str], head: str) -> str:
    value = row.get(head, "")
    return f"{value:>11.3f}" if isinstance(value, float) else f"{value:>11}"


def machine() -> dict[str, str]:
    """What it was measured on."""
    return {"cores": str(os.cpu_count()), "python": platform.python_version(), "system": platform.system()}


def rank(ordered: Sequence[float], share: float) -> float:
    """A percentile of sorted figures; `share` of 1."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
