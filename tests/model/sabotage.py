"""Builds that are broken on purpose, each in one place. The proof must find every one of them.

`MODEL_SABOTAGE=skips_epoch_check .venv/bin/pytest tests/model` plays the whole proof with one, and fails.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

SWITCH = "MODEL_SABOTAGE"


@dataclass(frozen=True)
class Guard:
    """A condition of a function in the database, and what stands there instead."""

    function: str
    text: str
    instead: str


@dataclass(frozen=True)
class Sabotage:
    """What is wrong with a build; nothing by default."""

    retries_on_500: bool = False
    frees_by_number: bool = False
    frees_live: bool = False
    gives_up_early: bool = False
    sends_untrusted: bool = False
    without: tuple[Guard, ...] = ()


SOUND = Sabotage()
_EPOCH = Guard("write_intents", "r.lease_epoch = p_epoch AND r.locked_by_worker = p_worker", "true")
_STATUS = Guard("write_intents", "AND r.status = 'running' AND NOT r.cancel_requested", "")
_LIMIT = Guard("write_intents", "a.slot BETWEEN 1 AND v_limit", "true")
_TOO_LATE = Guard("return_attempt", "state IN ('intent', 'unknown')", "state <> 'ended'")
_NEWS = Guard("end_unknown", "AND last_news_at = p_last_news_at", "")

BUILDS = {
    # A create is sent again when the carrier answers 500.
    "retries_on_500": Sabotage(retries_on_500=True),
    # Intents are written under any epoch, by anybody.
    "skips_epoch_check": Sabotage(without=(_EPOCH,)),
    # A slot is freed by its number: once more with each repeated callback, whoever has it by then.
    "frees_twice": Sabotage(frees_by_number=True),
    "frees_live": Sabotage(frees_live=True),
    "gives_up_early": Sabotage(gives_up_early=True),
    "sends_untrusted": Sabotage(sends_untrusted=True),
    "dials_after_stop": Sabotage(without=(_EPOCH, _STATUS)),
    "ignores_limit": Sabotage(without=(_LIMIT,)),
    "returns_too_late": Sabotage(without=(_TOO_LATE,)),
    "gives_up_despite_news": Sabotage(without=(_NEWS,)),
}


def from_environment() -> Sabotage:
    """The build that the environment asks for: the sound one, usually."""
    name = os.environ.get(SWITCH, "")
    return BUILDS[name] if name else SOUND


async def break_database(db: Any, sabotage: Sabotage) -> None:
    """Take its guards out of the functions of this database, which is the test's own."""
    for guard in sabotage.without:
        text = await db.fetchval("SELECT pg_get_functiondef($1::regproc)", guard.function)
        assert guard.text in text, f"{guard.function} has no such guard any more: {guard.text}"
        await db.execute(text.replace(guard.text, guard.instead))
