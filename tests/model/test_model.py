"""The proof by model, and the proof that it finds what is broken. See the package for what is modelled."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import redis.asyncio
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import clock, stories
from tests.model.machine import Machine
from tests.model.sabotage import BUILDS, SWITCH, break_database, from_environment
from tests.model.stories import Story, Teller
from tests.model.world import Rig, World

# The gate plays the same examples every time: it must fail by what was changed, and not by chance. Whoever asks for
# more gets others, by a seed that is printed.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "25"))
CHOSEN = random.SystemRandom().randrange(1 << 32) if "MODEL_EXAMPLES" in os.environ else 1
SEED = int(os.environ.get("MODEL_SEED", CHOSEN))

# An example is some hundred statements, and the machine it runs on may be busy: no time is too long for it. Examples
# that are large, or rules that seldom apply, are meant.
CALM = settings(
    stateful_step_count=50,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
PROOF = settings(CALM, max_examples=EXAMPLES)
# No time is spent on making a failure small that is wanted.
HUNT = settings(CALM, max_examples=400, phases=[Phase.generate], report_multiple_bugs=False)
HUNTING_SEED = 1

STORIES: tuple[Story, ...] = (
    stories.an_answer_of_500,
    stories.an_owner_replaced,
    stories.an_owner_replaced_before_the_request,
    stories.an_end_said_twice,
    stories.a_call_that_is_placed,
    stories.a_list_that_lags,
    stories.a_stop,
    stories.a_limit_lowered,
    stories.a_carrier_that_denies,
    stories.news_during_a_look_up,
    stories.a_hang_up_of_which_nobody_hears,
    stories.redis_away_from_one_who_waits,
)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Hypothesis knows no event loop: each act runs to its end in this one."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def rig(loop: asyncio.AbstractEventLoop, database: str, redis_url: str) -> Iterator[Rig]:
    """A pool of one connection, whose session has the model's clock; and a client of Redis."""
    db = loop.run_until_complete(one_connection(database))
    client = redis.asyncio.Redis.from_url(redis_url)
    loop.run_until_complete(clock.install(db))
    yield Rig(db, client, redis_url)
    loop.run_until_complete(client.aclose())
    loop.run_until_complete(db.close())


async def one_connection(dsn: str) -> Any:
    """A pool whose one connection is never replaced and keeps its session's settings."""

    async def keep(_connection: Any) -> None:
        pass

    return await asyncpg.create_pool(
        dsn, min_size=1, max_size=1, max_queries=1 << 62, max_inactive_connection_lifetime=0, reset=keep
    )


def play(loop: asyncio.AbstractEventLoop, rig: Rig, how: settings, chance: int) -> None:
    """The machine, on the build that the environment asks for."""
    build = from_environment()
    loop.run_until_complete(break_database(rig.db, build))

    class ThisMachine(Machine):
        def __init__(self) -> None:
            super().__init__(loop, rig, build)

    run_state_machine_as_test(seed(chance)(ThisMachine), settings=how)


def tell(loop: asyncio.AbstractEventLoop, rig: Rig, story: Story) -> None:
    """A story, on the build that the environment asks for."""

    async def from_begin_to_end() -> None:
        build = from_environment()
        await break_database(rig.db, build)
        world = World(rig, build)
        try:
            await story(Teller(world))
        finally:
            await world.close()

    loop.run_until_complete(from_begin_to_end())


# A failure is made small before it is told, which takes minutes; and so may the examples that somebody asks for.
@pytest.mark.timeout(900 + 5 * EXAMPLES)
def test_whatever_happens_the_invariants_hold(loop: asyncio.AbstractEventLoop, rig: Rig) -> None:
    print(f"again: MODEL_EXAMPLES={EXAMPLES} MODEL_SEED={SEED}")
    play(loop, rig, PROOF, SEED)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_story_ends_well(loop: asyncio.AbstractEventLoop, rig: Rig, story: Story) -> None:
    tell(loop, rig, story)


HARMS = {
    "retries_on_500": (stories.an_answer_of_500, "I6: a second create"),
    "skips_epoch_check": (stories.an_owner_replaced, "I4: an intent under an old epoch"),
    "frees_twice": (stories.an_end_said_twice, "I9: slot 1 was (freed|given back) while .* is live"),
    "frees_live": (stories.a_call_that_is_placed, "I9: slot 1 was (freed|given back) while .* is live"),
    "gives_up_early": (stories.a_list_that_lags, "I9: CA.* lives, and no row holds a slot for it"),
    "sends_untrusted": (stories.an_owner_replaced_before_the_request, "I5: a create for .*, which has ended"),
    "dials_after_stop": (stories.a_stop, "I17: an intent for a run that is stopped"),
    "ignores_limit": (stories.a_limit_lowered, "I1: "),
    "returns_too_late": (stories.a_carrier_that_denies, "I9: CA.* lives, and no row holds a slot for it"),
    "gives_up_despite_news": (stories.news_during_a_look_up, "I9: CA.* lives, and no row holds a slot for it"),
}


@pytest.mark.parametrize("build", BUILDS)
def test_a_broken_build_is_found(
    loop: asyncio.AbstractEventLoop, rig: Rig, build: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same story ends well on the sound build: it is the guard that was taken out which makes it fail."""
    monkeypatch.setenv(SWITCH, build)
    story, harm = HARMS[build]
    with pytest.raises(AssertionError, match=harm):
        tell(loop, rig, story)


def test_the_machine_finds_a_broken_build_by_itself(
    loop: asyncio.AbstractEventLoop, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only where a story leads it by the hand. (Others it finds too, but not as soon.)"""
    monkeypatch.setenv(SWITCH, "frees_twice")
    with pytest.raises(AssertionError, match=r"I9: slot \d+ was (freed|given back) while"):
        play(loop, rig, HUNT, HUNTING_SEED)
