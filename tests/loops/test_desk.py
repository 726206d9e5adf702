"""When a desk is closed: a real Redis, and no loop."""

from __future__ import annotations

import uuid
from typing import Any

from dialer.edges.clock import boot_seconds
from dialer.edges.slots import Slots
from dialer.loops.desk import Desk
from dialer.rules.holding import Holding
from dialer.rules.model import Business, Terms

TERMS = Terms(7, 1, 1, 100, 2, 0, False, "+15005550006", "<x/>", None, False, False, 30, 600)


async def test_a_desk_whose_run_left_its_calls_behind_is_compared_before_it_is_closed(redis_url: str) -> None:
    """While the run was here all was settled at a glance: what was compared before it began says nothing of them."""
    slots = Slots(redis_url, uuid.uuid4().hex, uuid.uuid4())
    nobody: Any = None
    nothing = Business(1, 2, ())
    desk = Desk(nothing, slots, nobody, may_dial=nobody, dial=nobody, ended=nobody, clock=boot_seconds)
    await desk.compare(nothing, await slots.now_ms(1), boot_seconds())
    assert desk.is_idle()
    holding = Holding.of(TERMS, boot_seconds())
    desk.join(holding)
    holding.began(uuid.uuid4(), 1, 11, boot_seconds())
    desk.leave(7)
    assert not desk.is_idle()
    await desk.compare(nothing, await slots.now_ms(1), boot_seconds())
    assert desk.is_idle()
    await slots.close()
