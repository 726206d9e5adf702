"""Named points at which a test may end, freeze or block this very process. Free of cost while none is armed.

A promise that holds "through any crash" is proved by crashing everywhere. `DIALER_CRASH_POINTS` arms points:
`intent.committed=kill` or `create.answered=freeze@2` (the second time it is passed), separated by commas. What
else can be done to a process at a point (its connections cut, its lease taken over) is done from outside to a
frozen one.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

# Every point there is, in the order in which a call meets them; the tests go through this list.
POINTS = (
    "start.stored",  # control: rows of a new run written, not committed
    "start.committed",  # control: committed, no hint said, no answer given
    "claim.sent",  # about to claim
    "claim.committed",  # runs are ours, nobody knows it but Postgres
    "claim.adopted",  # the attempts left by others are known
    "slots.asked",  # about to ask Redis
    "slots.named",  # slots are named, nobody knows it but Redis
    "permit.taken",  # a create may be sent
    "intent.sent",  # about to write intents
    "intent.committed",  # attempts exist, no request has left
    "create.due",  # about to look at the lease once more, and to send
    "create.unread",  # the carrier has answered, nothing is read
    "create.answered",  # the outcome is known, nothing is written
    "placed.written",
    "returned.written",
    "refused.written",
    "doubted.written",
    "callback.verified",  # control: genuine, nothing is stored
    "callback.committed",  # control: stored, no hint said
    "callback.answered",  # control: the hint is in the line, the answer not sent
    "released.heard",  # a slot is free, Redis does not know it
    "beat.sent",  # about to beat
    "beat.committed",
    "compare.read",  # Postgres was read, Redis not yet compared
    "silent.taken",  # a silent call is ours to look up
    "silent.answered",
    "unknown.taken",  # an unknown attempt is ours to search
    "unknown.answered",
    "lookup.written",  # a look-up's result is stored, no hint said
    "ended.written",  # an unknown attempt was given up, no hint said
    "recording.claimed",  # recordings are ours, nobody knows it but Postgres
    "recording.begun",  # an empty .part is there
    "recording.streaming",  # a block is in it; there is more to come
    "recording.received",  # all of it has come
    "recording.synced",  # and is safe on the disk, without its name
    "recording.named",  # it has its name; the .part has not gone, the row does not know
    "recording.kept",  # the row does not know
    "recording.completed",  # the row knows
    "drain.begun",
    "drain.handed_over",
)

_ACTIONS: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    # The thread that passes stands still, and its event loop with it; other threads go on.
    "block": lambda: threading.Event().wait(),
}


@dataclass(slots=True)
class _Armed:
    act: Callable[[], object]
    passes_left: int


_armed: dict[str, _Armed] = {}


def arm(text: str) -> None:
    """Arm points from a setting. Raises ValueError when it names what does not exist."""
    for item in filter(None, text.split(",")):
        point, _, what = item.partition("=")
        action, _, nth = what.partition("@")
        if point not in POINTS or action not in _ACTIONS:
            raise ValueError(f"no such crash point or action: {item}")
        _armed[point] = _Armed(_ACTIONS[action], int(nth or 1))


def passed(point: str) -> None:
    """The process is at this point now."""
    if _armed:
        _act(point)


def _act(point: str) -> None:
    armed = _armed.get(point)
    if armed is None:
        return
    armed.passes_left -= 1
    if armed.passes_left == 0:
        del _armed[point]
        armed.act()
