"""What is asked again when the server says "not now", and what never is.

Reading may be repeated, and so may a request with an Idempotency-Key; every other request is sent once.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from dialer.cli.client import Client, Query
from dialer.cli.failures import say
from dialer.cli.troubles import LONGEST_WAIT_SECONDS, Refused, Unreachable

TRIES = 4
_PAUSE_SECONDS = 1.0

_ASKED_TO_WAIT = (429, 503)
_BETWEEN_US = (502, 504)

T = TypeVar("T")


def read(client: Client, path: str, query: Query | None = None) -> Any:
    """The JSON of a GET; when the server asks to wait (429, 503), waits as long as it says and asks again."""
    return patiently(lambda: client.get(path, query))


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` returns; it only reads. Raises what its last try raised."""
    return _again(ask, _was_asked_to_wait)


def insist(send: Callable[[], T]) -> T:
    """What `send` returns. Its request must carry an Idempotency-Key: a lost answer is asked for again too."""
    return _again(send, _may_have_worked)


def pause_before_repeating(trouble: Unreachable | Refused) -> float:
    """Seconds."""
    asked = trouble.retry_after if isinstance(trouble, Refused) else None
    return _PAUSE_SECONDS if asked is None else max(asked, 0.1)


def passing(trouble: Unreachable | Refused) -> bool:
    """Whether it may be over soon, for those who look again and again."""
    return isinstance(trouble, Unreachable) or trouble.status in (*_ASKED_TO_WAIT, *_BETWEEN_US)


def _again(act: Callable[[], T], worthwhile: Callable[[Unreachable | Refused], bool]) -> T:
    for _ in range(TRIES - 1):
        try:
            return act()
        except (Unreachable, Refused) as trouble:
            pause = pause_before_repeating(trouble)
            if not worthwhile(trouble) or pause > LONGEST_WAIT_SECONDS:
                raise
            said = f"({trouble.status})" if isinstance(trouble, Refused) else "(its answer got lost)"
            say(f"the server is busy {said}: asking again in {pause:g} s")
            time.sleep(pause)
    return act()


def _was_asked_to_wait(trouble: Unreachable | Refused) -> bool:
    return isinstance(trouble, Refused) and trouble.status in _ASKED_TO_WAIT


def _may_have_worked(trouble: Unreachable | Refused) -> bool:
    return passing(trouble) and not (isinstance(trouble, Unreachable) and not trouble.sent)
