"""The course of a soak: everything breaks; it is all lifted; quiet comes; the questions are asked."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.soak import acts, misbehaviours, operators, verdict
from tests.soak.acts import Act
from tests.soak.places import Kinds
from tests.soak.world import World, world
from tests.support.processes import alive
from tests.support.waiting import eventually

ACTS: tuple[Act, ...] = (*acts.ACTS, *misbehaviours.ACTS, *operators.ACTS)
BETWEEN_ACTS_SECONDS = 0.5
QUIET_WITHIN_SECONDS = 120.0
LEAVE_WITHIN_SECONDS = 12.0


@dataclass(frozen=True)
class Result:
    """What a soak has shown. Without violations all is well."""

    seed: int
    seconds: float
    faults: Counter[str]
    figures: dict[str, object]
    violations: list[str]

    def table(self) -> str:
        rows = [(name, str(count)) for name, count in sorted(self.faults.items())]
        rows += [("", ""), *((name, str(value)) for name, value in self.figures.items())]
        lines = [
            f"soak of {self.seconds:.0f} s, seed {self.seed}",
            *(f"  {name:<44}{value:>12}" for name, value in rows),
        ]
        lines += [f"  VIOLATION {one}" for one in self.violations] or ["  no violation"]
        return "\n".join(lines)


async def soak(minutes: float, seed: int, logs: Path, kinds: Kinds = Kinds()) -> Result:  # noqa: B008 - frozen
    """Run one. The order of events follows from the seed; their exact moments are the machine's. `logs`: where each
    process leaves its own."""
    began = time.monotonic()
    async with world(random.Random(seed), logs, kinds) as w:
        misbehaviours.behave_badly(w)
        await happen(w, minutes * 60)
        violations = w.wrong + await lift(w)
        lifted = time.monotonic()
        violations += await quiet(w)
        to_quiet = time.monotonic() - lifted
        violations += await last_runs(w)
        violations += await verdict.violations(w)
        figures = {**await verdict.figures(w), "seconds from lift to quiet": round(to_quiet, 1)}
        violations += await leave(w)
        pids = [p.popen.pid for p in w.system.processes]
        pids += [*(w.servers.pid(name) for name in ("postgres", "keeper")), *w.redis.pids()]
        pids += [w.pooler.pid] if w.pooler is not None else []
    left = [pid for pid in pids if alive(pid)]
    figures["processes leaked"] = len(left)
    violations += [f"process {pid} is still there" for pid in left]
    return Result(seed, time.monotonic() - began, w.tally, figures, violations)


async def happen(w: World, seconds: float) -> None:
    """One act after the other, some side by side, until the time is over."""
    until = time.monotonic() + seconds
    under_way: set[asyncio.Task[None]] = set()
    for _ in range(4):
        await operators.run_started(w)
    while time.monotonic() < until:
        [act] = w.chance.choices(ACTS, [a.weight for a in ACTS])
        under_way.add(asyncio.create_task(_do(w, act)))
        await asyncio.sleep(w.chance.expovariate(1 / BETWEEN_ACTS_SECONDS))
        for task in [t for t in under_way if t.done()]:
            under_way.discard(task)
            task.result()
    await asyncio.gather(*under_way)


async def _do(w: World, act: Act) -> None:
    if await act.do(w):
        w.tally[act.name] += 1


async def lift(w: World) -> list[str]:
    """Nothing is broken any more, and everybody is there."""
    for way in w.ways.values():
        await way.pass_all()
    w.sim.faults.clear()
    for process in w.system.processes:
        process.send(signal.SIGCONT)
    while len(w.daemons) < 2:
        w.spawn_daemon()
    for process in (*w.daemons, *w.controls):
        await process.started()
    return [f"{p.name} ended by itself" for p in (*w.daemons, *w.controls) if p.popen.poll() is not None]


async def quiet(w: World) -> list[str]:
    """Wait until every run has ended and its jobs are where they belong."""
    open_runs = "SELECT count(*) FROM outbound_call_runs WHERE ended_at IS NULL"
    open_jobs = "SELECT count(*) FROM outbound_call_jobs WHERE ended_at IS NULL"

    async def over() -> bool:
        await operators.resumed(w)
        db = w.system.db
        return await db.fetchval(open_runs) + await db.fetchval(open_jobs) == 0 and w.sim.idle

    try:
        await eventually(over, timeout=QUIET_WITHIN_SECONDS, interval=0.3)
    except AssertionError:
        return [await verdict.unrest(w)]
    return []


async def last_runs(w: World) -> list[str]:
    """With nothing in the way, every business is dialed for at once."""
    started = [await operators.start_run(w, business, 12) for business in w.businesses]
    wrong = []
    for answer in started:
        if answer is None:
            return ["a start was refused after all was lifted"]
        try:
            shown = await w.system.ended(answer["run_id"], timeout=30)
        except AssertionError as error:
            return [f"the last run of a business: {error}"]
        if set(shown["dispositions"]) & {"unknown", "not_dialed"} or shown["status"] != "completed":
            wrong.append(f"the last run of a business: {shown}")
    return wrong


async def leave(w: World) -> list[str]:
    """SIGTERM to all: they end, and say so by 0; of their connections none is left."""
    asked = [p for p in w.system.processes if p.popen.poll() is None]
    for process in asked:
        process.send(signal.SIGTERM)
    wrong = []
    for process in asked:
        try:
            code = await process.ends(LEAVE_WITHIN_SECONDS)
        except TimeoutError:
            wrong.append(f"{process.name} did not end")
        else:
            wrong += [f"{process.name} ended with {code}"] if code else []
    for way in w.ways.values():
        way.bury()
    if w.pooler is not None:
        w.pooler.kill()  # it keeps connections for whoever comes next
    try:
        await eventually(lambda: verdict.no_other_connection(w), timeout=10)
    except AssertionError:
        wrong.append("connections to Postgres are left")
    return wrong
