"""What has changed, told from control to control over Redis pub/sub, for those who listen to events.

Only names travel, no content: a lost message costs a second (see watcher.py), a forged one shows nothing.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from control.hints import Installation
from dialer.edges import wakeup
from dialer.edges.redis_client import RedisClient
from dialer.edges.wakeup import Hint
from dialer.rhythm import insist
from dialer.telemetry import logger

TOPIC = "changes"
TELL_EVERY_SECONDS = 0.05
MOST_WAITING = 5_000

Heard = Callable[[int, int | None, int | None], None]
Change = tuple[int, int | None, int | None]


class Changes:
    """Notes changes for listeners of this process at once, and for those of others in batches."""

    def __init__(
        self,
        connection: RedisClient,
        redis_url: str,
        installation: Installation,
        *,
        heard: Heard,
        missed: Callable[[], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._redis_url = redis_url
        self._installation = installation
        self._heard = heard
        self._missed = missed
        self._origin = secrets.token_hex(8)
        self._waiting: dict[Change, None] = {}
        self._something = asyncio.Event()

    def note(self, business_id: int, run_id: int | None, job_id: int | None = None) -> None:
        """Something of this business, run or job has changed; call it after the commit. Returns at once."""
        self._heard(business_id, run_id, job_id)
        # With more than that the others' own looks do as well.
        if len(self._waiting) < MOST_WAITING:
            self._waiting[(business_id, run_id, job_id)] = None
            self._something.set()

    def note_hint(self, hint: Hint) -> None:
        """What daemons are to look at has changed."""
        self.note(hint.business_id, hint.run_id, hint.job_id)

    async def tell(self) -> None:
        """Publish what is noted, until cancelled."""
        channel = wakeup.channel(await insist(self._installation.name), TOPIC)
        while True:
            await self._something.wait()
            # First the pause, then the word: just now the hint of the same change is on its way to the daemons.
            await asyncio.sleep(TELL_EVERY_SECONDS)
            self._something.clear()
            batch, self._waiting = list(self._waiting), {}
            await wakeup.publish_text(self._connection, channel, json.dumps([self._origin, batch]))

    async def hear(self) -> None:
        """Take in what others publish, until cancelled."""
        namespace = await insist(self._installation.name)
        listener = wakeup.Listener(self._redis_url, namespace, self._missed, topic=TOPIC)
        async with aclosing(listener.messages()) as messages:
            async for text in messages:
                self._take_in(text)

    def _take_in(self, text: str) -> None:
        try:
            origin, batch = json.loads(text)
            changes = [(int(business), run and int(run), job and int(job)) for business, run, job in batch]
        except (ValueError, TypeError):
            logger().warning("change not understood")
            return
        if origin != self._origin:
            for change in changes:
                self._heard(*change)
