"""Short, fixed courses of events, each aimed at one guard. Played on the sound build and on one that lacks the guard.

They use the same world, acts and invariants as the machine, but leave nothing to chance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dialer.rules.holding import Holding
from dialer.rules.outcome import NotProcessed, Outcome, Placed, Unknown
from tests.model import creates, lookups, operators, slots
from tests.model.carrier import Call
from tests.model.daemon import Daemon
from tests.model.quiet import come_to_rest
from tests.model.world import Plan, World

Story = Callable[["Teller"], Awaitable[None]]


class Teller:
    """Makes things happen, one a step; prints each step, and checks every invariant after it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._steps = 0

    async def begin(self, limit: int, *plans: Plan) -> list[Daemon]:
        """One business with these runs; nobody has claimed any of them."""
        await self.world.begin([limit], plans)
        await self.compare(self.world.daemons[0])  # fills Redis
        return self.world.daemons

    async def step(self, name: str, act: Awaitable[None]) -> None:
        self._steps += 1
        print(f"    {self._steps}. {name}")
        await act
        await self.world.check()

    async def claim(self, daemon: Daemon) -> list[Holding]:
        await self.step(f"{daemon} claims", self.world.claim(daemon))
        return list(daemon.runs.values())

    async def turn(self, daemon: Daemon) -> None:
        await self.step(f"{daemon} asks Redis", slots.turn(self.world, daemon, self.world.businesses[0]))

    async def compare(self, daemon: Daemon) -> None:
        [business] = self.world.businesses
        await slots.read(self.world, daemon, business)
        await self.step(f"{daemon} reconciles", slots.reconcile(self.world, daemon, business))

    async def intend(self, daemon: Daemon, holding: Holding) -> None:
        assert holding.reserved, "no slot was named"
        await self.step(f"{daemon} writes intents", creates.intend(self.world, daemon, holding))

    async def send(self, daemon: Daemon) -> None:
        for work in list(daemon.unsent.values()):
            await self.step(f"{daemon} sends {work.intent}", creates.send(self.world, daemon, work))

    async def dial(self, daemon: Daemon, holding: Holding) -> None:
        """As far as the create."""
        await self.turn(daemon)
        await self.intend(daemon, holding)
        await self.send(daemon)

    async def answer(self, outcome: Outcome | None, *, exists: bool = True) -> None:
        """The carrier answers all that it was asked."""

        async def act() -> None:
            for request in list(self.world.carrier.wire):
                creates.decide(self.world, request, outcome, exists=exists)

        await self.step(f"the carrier answers {outcome}, calls exist: {exists}", act())

    async def settle(self, daemon: Daemon) -> None:
        for attempt in list(daemon.answered):
            await self.step(f"{daemon} writes down {attempt}", creates.settle(self.world, daemon, attempt))

    async def say(self, call: Call, status: str, *hearers: Daemon) -> None:
        """The call goes on, and control hears of it."""
        call.move(status, self.world.clock.now)
        await self.repeat(call, *hearers)

    async def repeat(self, call: Call, *hearers: Daemon) -> None:
        """The last callback of a call comes (once more)."""
        last = len(call.said) - 1
        await self.step(
            f"callback {call.said[last]} of {call.sid}", creates.call_back(self.world, call, last, hearers)
        )

    async def end(self, call: Call, *hearers: Daemon) -> None:
        call.end(self.world.clock.now)
        await self.repeat(call, *hearers)

    async def wait(self, seconds: float) -> None:
        async def act() -> None:
            await self.world.pass_time(seconds)

        await self.step(f"{seconds} seconds pass", act())

    async def look_up(self, daemon: Daemon, *, young: bool) -> None:
        await self.step(f"{daemon} looks up", lookups.look_up(self.world, daemon, young=young))

    async def rest(self, *, deaf: bool = False) -> None:
        await self.step("everything comes to rest", come_to_rest(self.world, deaf=deaf))

    def calls(self) -> list[Call]:
        return list(self.world.carrier.calls.values())


async def an_answer_of_500(tell: Teller) -> None:
    """The carrier made the call, and answers 500: it is not asked again."""
    one, *_ = await tell.begin(1, Plan(0, 2, 1))
    [run] = await tell.claim(one)
    await tell.dial(one, run)
    await tell.answer(Unknown("HTTP 500", 500))
    await tell.settle(one)
    await tell.rest()


async def an_owner_replaced(tell: Teller) -> None:
    """A daemon has slots named, sleeps through its lease, and wakes when another has the run."""
    one, *_ = await tell.begin(2, Plan(0, 4, 2))
    [run] = await tell.claim(one)
    await tell.turn(one)
    await tell.step(f"{one} is replaced", tell.world.replace(one))
    await tell.intend(one, run)
    await tell.send(one)
    await tell.answer(Placed(""))
    await tell.rest()


async def an_owner_replaced_before_the_request(tell: Teller) -> None:
    """The same, but it wakes with an intent that was given up meanwhile."""
    one, two, _ = await tell.begin(1, Plan(0, 3, 1))
    [run] = await tell.claim(one)
    await tell.turn(one)
    await tell.intend(one, run)
    await tell.step(f"{one} is replaced", tell.world.replace(one))
    await tell.wait(95.07)
    await tell.look_up(two, young=False)
    await tell.send(one)
    await tell.settle(one)
    await tell.rest()


async def an_end_said_twice(tell: Teller) -> None:
    """Two runs share one slot. The callback that ended the first call is repeated while the second is live."""
    one, two, _ = await tell.begin(1, Plan(0, 2, 1), Plan(0, 2, 1))
    [first] = await tell.claim(one)
    [second] = await tell.claim(two)
    await tell.dial(one, first)
    await tell.answer(Placed(""))
    await tell.settle(one)
    await tell.turn(two)
    await tell.end(tell.calls()[0], one)
    await tell.turn(one)
    await tell.dial(two, second)
    assert len(tell.world.carrier.sent) == 2, "the second run was to get the slot"
    await tell.turn(two)
    await tell.repeat(tell.calls()[0], one)
    await tell.turn(one)
    await tell.rest()


async def a_call_that_is_placed(tell: Teller) -> None:
    """What is placed keeps its slot."""
    one, *_ = await tell.begin(1, Plan(0, 2, 1))
    [run] = await tell.claim(one)
    await tell.dial(one, run)
    await tell.turn(one)
    await tell.answer(Placed(""))
    await tell.settle(one)
    await tell.turn(one)
    await tell.rest()


async def a_list_that_lags(tell: Teller) -> None:
    """The answer is lost, the call lives, and the carrier's list does not show it yet."""
    one, *_ = await tell.begin(1, Plan(0, 2, 1))
    [run] = await tell.claim(one)
    await tell.dial(one, run)
    await tell.wait(27.03)
    await tell.answer(Unknown("time-out"))
    await tell.settle(one)
    await tell.wait(5.41)
    await tell.look_up(one, young=False)
    await tell.rest()


async def a_stop(tell: Teller) -> None:
    """Slots are named, and the run is stopped."""
    one, *_ = await tell.begin(2, Plan(0, 4, 2))
    [run] = await tell.claim(one)
    await tell.turn(one)
    await tell.step("the run is stopped", operators.order(tell.world, run.terms.run_id, "stop"))
    await tell.intend(one, run)
    await tell.send(one)
    await tell.rest()


async def a_limit_lowered(tell: Teller) -> None:
    """Slots are named, and the limit is lowered."""
    one, *_ = await tell.begin(3, Plan(0, 5, 3))
    [run] = await tell.claim(one)
    await tell.turn(one)
    await tell.step("the limit is 1", operators.set_limit(tell.world, tell.world.businesses[0], 1))
    await tell.intend(one, run)
    await tell.send(one)
    await tell.answer(Placed(""))
    await tell.rest()


async def a_carrier_that_denies(tell: Teller) -> None:
    """It says that it did not process the create, after a callback of the very call."""
    one, *_ = await tell.begin(1, Plan(0, 2, 1))
    [run] = await tell.claim(one)
    await tell.dial(one, run)
    await tell.answer(NotProcessed("too many requests", 20429), exists=False)
    [request] = tell.world.carrier.sent
    tell.world.carrier.wire.append(request)
    await tell.say(tell.world.carrier.place(request, tell.world.clock.now), "initiated", one)
    await tell.settle(one)
    await tell.rest()


async def news_during_a_look_up(tell: Teller) -> None:
    """The look-ups have failed for as long as a call can last; while the last one runs, the call turns up after all."""
    one, *_ = await tell.begin(1, Plan(0, 2, 1))
    [run] = await tell.claim(one)
    await tell.dial(one, run)
    await tell.answer(Unknown("time-out"), exists=False)
    await tell.settle(one)
    await tell.wait(701.9)
    await tell.step(f"{one} takes the look-up on", lookups.take_on(tell.world, one))
    [inquiry] = one.inquiries
    await tell.step("which fails", lookups.ask(tell.world, inquiry, young=False, fails=True))
    [request] = tell.world.carrier.sent
    tell.world.carrier.wire.append(request)
    await tell.say(tell.world.carrier.place(request, tell.world.clock.now), "initiated", one)
    await tell.step(f"{one} concludes", lookups.conclude(tell.world, one, inquiry))
    await tell.rest()


async def a_hang_up_of_which_nobody_hears(tell: Teller) -> None:
    """Its callback is lost. Control asks for it again and again, and the look-up comes all the same."""
    one, *_ = await tell.begin(1, Plan(0, 2, 1))
    [run] = await tell.claim(one)
    await tell.dial(one, run)
    await tell.answer(Placed(""))
    await tell.settle(one)
    stop = operators.order(tell.world, run.terms.run_id, "force_cancel", hangup=True)
    await tell.step("the run is cancelled, its call to be ended", stop)
    for _ in range(8):
        await tell.step("control hangs up", operators.hang_up(tell.world))
        await tell.look_up(one, young=True)
        await tell.wait(5.41)
    assert not tell.world.rows.live(), "the call was never looked up"
    await tell.rest(deaf=True)


async def redis_away_from_one_who_waits(tell: Teller) -> None:
    """A run stands in Redis's line, gets a slot from Postgres meanwhile, and then one from the line."""
    one, two, _ = await tell.begin(2, Plan(0, 2, 1), Plan(0, 2, 2))
    [waiting] = await tell.claim(one)
    [dialing] = await tell.claim(two)
    await tell.dial(two, dialing)
    await tell.answer(Placed(""))
    await tell.settle(two)
    await tell.turn(two)
    await tell.turn(one)
    first, second = tell.calls()
    await tell.end(first)
    await tell.step(f"Redis is away from {one}", slots.name_by_postgres(tell.world, one, waiting))
    await tell.intend(one, waiting)
    await tell.send(one)
    await tell.end(second, two)
    await tell.turn(two)
    await tell.turn(one)
    for _ in range(3):
        await tell.wait(2.17)
        await tell.compare(one)
    await tell.rest()
