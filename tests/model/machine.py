"""The state machine: a few kinds of acts in any order. Which act of a kind is picked by a number, and noted."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model import acts, creates, operators, slots
from tests.model.acts import Act
from tests.model.daemon import Daemon
from tests.model.quiet import come_to_rest
from tests.model.sabotage import Sabotage
from tests.model.slots import Disk
from tests.model.world import Plan, Rig, World

T = TypeVar("T")

SOME = st.integers(0, 23)
MAYBE = st.booleans()
SELDOM = st.sampled_from([False, False, False, True])
# Within a lease, a lapsed lease, the unknown's first look, ring time-out and lag, resume, the longest call. Crooked,
# so that no sum of them meets a limit to the microsecond.
TIMES = st.sampled_from([0.53, 2.17, 5.41, 7.03, 7.03, 31.19, 31.19, 95.07, 310.31, 701.9])
LIMITS = st.integers(1, 3)
PLANS = st.lists(st.builds(Plan, st.integers(0, 1), st.integers(2, 5), st.integers(1, 3)), min_size=2, max_size=3)
START_PICKS = st.lists(SOME, min_size=6, max_size=12)

FATES = ("replace", "replace", "replace", "freeze", "thaw", "crash", "crash", "drain", "claim and die")
ACCIDENTS = ("wipe", "save", "restore", "restart of postgres")
ORDERS = (*operators.ORDERS, "pause", "resume", "resume")
LIMITINGS = ("limit 1", "limit 2", "limit 4")
TROUBLES = st.one_of(*(st.sampled_from(some) for some in (ACCIDENTS, ORDERS, LIMITINGS)))


def pick(things: Sequence[T], n: int) -> T:
    return things[n % len(things)]


class Machine(RuleBasedStateMachine):
    """Run with `run_state_machine_as_test`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rig: Rig, sabotage: Sabotage) -> None:
        super().__init__()
        self.world = World(rig, sabotage)
        self.disks: dict[int, Disk] = {}
        self.is_sound = False
        self.is_deaf_at_the_end = False
        self._loop = loop

    def do(self, act: Coroutine[Any, Any, None]) -> None:
        """One act, and then every invariant."""
        self.is_sound = False
        self._loop.run_until_complete(self._do(act))
        self.is_sound = True

    async def _do(self, act: Coroutine[Any, Any, None]) -> None:
        await act
        await self.world.check()

    def do_one(self, possible: Sequence[Act], n: int) -> None:
        if possible:
            act = pick(possible, n)
            note(f"    # {act.name}")
            self.do(act.do())

    def go_on_with(self, picks: Sequence[int]) -> None:
        for n in picks:
            self.do_one(acts.ordinary(self.world), n)

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self.do(come_to_rest(self.world, deaf=self.is_deaf_at_the_end))
        finally:
            self._loop.run_until_complete(self.world.close())

    @initialize(limits=st.tuples(LIMITS, LIMITS), plans=PLANS, picks=START_PICKS, deaf=MAYBE)
    def begin(self, limits: tuple[int, int], plans: list[Plan], picks: list[int], deaf: bool) -> None:
        """A world in full swing. `deaf`: at the end no callback arrives (see come_to_rest)."""
        self.is_deaf_at_the_end = deaf

        async def act() -> None:
            await self.world.begin(limits, plans)
            for daemon in self.world.daemons:
                await self.world.claim(daemon)

        self.do(act())
        self.go_on_with(picks)

    @rule(picks=st.lists(SOME, min_size=1, max_size=5))
    @precondition(lambda self: bool(acts.ordinary(self.world)))
    def go_on(self, picks: list[int]) -> None:
        """Whatever comes next where nothing goes wrong."""
        self.go_on_with(picks)

    @rule(n=SOME, flag=SELDOM)
    @precondition(lambda self: bool(acts.by_daemons(self.world, False)))
    def act(self, n: int, flag: bool) -> None:
        """A daemon does one thing."""
        self.do_one(acts.by_daemons(self.world, flag), n)

    @rule(n=SOME, how=SOME, settled=MAYBE)
    @precondition(lambda self: bool(self.world.carrier.wire))
    def answer(self, n: int, how: int, settled: bool) -> None:
        """The carrier answers a create."""
        self.do_one(acts.answers(self.world, how, settled), n)

    @rule(n=SOME, how=SOME, heard_by=st.integers(0, 7))
    @precondition(lambda self: bool(acts.by_carrier(self.world, 0, [])))
    def hear(self, n: int, how: int, heard_by: int) -> None:
        """The carrier says something."""
        hearers = [d for i, d in enumerate(self.world.daemons) if heard_by & 1 << i]
        self.do_one(acts.by_carrier(self.world, how, hearers), n)

    @rule(n=SOME, flag=MAYBE, other=MAYBE)
    @precondition(lambda self: bool(acts.by_inquirers(self.world, False, False)))
    def inquire(self, n: int, flag: bool, other: bool) -> None:
        """A look-up goes one step on."""
        self.do_one(acts.by_inquirers(self.world, flag, other), n)

    @rule(seconds=TIMES, beating=st.sampled_from([True, True, False]))
    def pass_time(self, seconds: float, beating: bool) -> None:
        async def act() -> None:
            await self.world.pass_time(seconds)
            for daemon in self.world.awake() if beating else []:
                await self.world.beat(daemon)

        self.do(act())

    @rule(n=SOME)
    @precondition(lambda self: bool(acts.after_trouble(self.world)))
    def clean_up(self, n: int) -> None:
        """Control goes after what was left."""
        self.do_one(acts.after_trouble(self.world), n)

    @rule(n=SOME, what=st.sampled_from(FATES))
    def befall(self, n: int, what: str) -> None:
        """Something becomes of a daemon."""
        self._befall(pick(self.world.daemons, n), what)

    @rule(n=SOME, what=TROUBLES, hangup=MAYBE)
    def trouble(self, n: int, what: str, hangup: bool) -> None:
        """Somebody stops something, or something breaks."""
        if what in ACCIDENTS:
            self._lose(pick(self.world.businesses, n), what)
        elif what in LIMITINGS:
            limit = int(what.removeprefix("limit "))
            self.do(operators.set_limit(self.world, pick(self.world.businesses, n), limit))
        else:
            self.do(operators.order(self.world, pick(list(self.world.rows.runs), n), what, hangup=hangup))

    def _befall(self, daemon: Daemon, what: str) -> None:
        match what:
            case "freeze" | "thaw":
                daemon.frozen = what == "freeze"
            case "replace":
                self.do(self.world.replace(daemon))
            case "crash":
                self.do(self.world.crash(daemon))
            case "drain" if not daemon.frozen:
                self.do(creates.drain(self.world, daemon))
            case "claim and die" if not daemon.frozen:
                self.do(self.world.claim(daemon, dies=True))

    def _lose(self, business: int, what: str) -> None:
        match what:
            case "wipe":
                self.do(slots.wipe(self.world, business))
            case "save":
                self.disks[business] = self._loop.run_until_complete(slots.save(self.world, business))
            case "restore" if business in self.disks:
                self.do(slots.restore(self.world, business, self.disks[business]))
            case "restart of postgres":
                self.do(self.world.clock.postgres_started(self.world.clock.now))
