"""Hints over Redis pub/sub: "look again". None carries a decision; all of them may be lost."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal
from uuid import UUID

from dialer.edges.redis_client import AWAY, RedisClient, open_listening, open_redis
from dialer.telemetry import logger

PUBLISH_TIMEOUT_SECONDS = 0.5
CONNECT_WITHIN_SECONDS = 1.0
PING_EVERY_SECONDS = 2.0
RECONNECT_AFTER_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed.

    `released`: the attempt in this slot has ended (`heard_at`: when the callback that ended it arrived, Unix time).
    `run`: a run was started, resumed or stopped. `business`: a limit was changed. `handed`: a slot was handed to a
    ticket of the daemon named in `to`.
    `recording`: the carrier has told of one.
    """

    kind: Literal["released", "run", "business", "handed", "recording"]
    business_id: int
    run_id: int | None = None
    attempt_id: str | None = None
    slot: int | None = None
    job_id: int | None = None
    to: str | None = None
    heard_at: float | None = None


_FIELDS = frozenset(field.name for field in fields(Hint))


def channel(namespace: str, topic: str = "hints") -> str:
    """A channel of an installation (`namespace`: the id in table `installation`); daemons listen to its hints."""
    return f"dialer:{namespace}:{topic}"


def client(redis_url: str) -> RedisClient:
    """A connection for publishing: short time-outs, one immediate retry (a hint said twice is harmless)."""
    return open_redis(redis_url, PUBLISH_TIMEOUT_SECONDS)


async def publish(connection: RedisClient, namespace: str, hint: Hint) -> bool:
    """Say it once. False when Redis is away: whoever waits will look by itself."""
    payload = json.dumps({k: v for k, v in asdict(hint).items() if v is not None})
    return await publish_text(connection, channel(namespace), payload)


async def publish_text(connection: RedisClient, to: str, text: str) -> bool:
    """Say it once in the channel `to`. False when Redis is away."""
    task = asyncio.current_task()
    cancels = task.cancelling() if task is not None else 0
    try:
        await connection.publish(to, text)
    except AWAY as error:
        logger().debug("hint not sent", channel=to, error=type(error).__name__)
        return False
    finally:
        # The client waits by asyncio.wait_for, which before Python 3.12 may swallow a cancellation. A task that
        # publishes again and again would then never end.
        if task is not None and task.cancelling() > cancels:
            raise asyncio.CancelledError
    return True


class Listener:
    """Hears a channel, reconnects by itself, and has everybody look again after each (re)subscription."""

    def __init__(
        self, redis_url: str, namespace: str, look_again: Callable[[], Awaitable[None]], *, topic: str = "hints"
    ) -> None:
        self._url = redis_url
        self._channel = channel(namespace, topic)
        self._look_again = look_again

    async def hints(self) -> AsyncIterator[Hint]:
        """Hints, for ever; those that cannot be read are left out."""
        async with contextlib.aclosing(self.messages()) as messages:
            async for text in messages:
                hint = _parsed(text)
                if hint is not None:
                    yield hint

    async def messages(self) -> AsyncGenerator[str, None]:
        """What is said, for ever. After each (re)subscription `look_again` is awaited: what was before is lost."""
        for attempt in itertools.count():
            connection = open_listening(self._url, CONNECT_WITHIN_SECONDS, attempt)
            try:
                async with connection.client.pubsub(ignore_subscribe_messages=False) as pubsub:
                    await pubsub.subscribe(self._channel)
                    async for text in self._heard(pubsub):
                        yield text
            except AWAY as error:
                logger().debug("hints interrupted", error=type(error).__name__)
                await asyncio.sleep(RECONNECT_AFTER_SECONDS)
            finally:
                with contextlib.suppress(*AWAY):
                    await connection.aclose()

    async def _heard(self, pubsub: Any) -> AsyncIterator[str]:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=PING_EVERY_SECONDS)
            if message is None and asked:
                # Nothing breaks a connection whose other end is gone without a word.
                raise ConnectionError("no answer to a ping")
            asked = message is None
            if message is None:
                await pubsub.ping()
            elif message["type"] == "subscribe":
                await self._look_again()
            elif message["type"] == "message":
                yield message["data"]


def _parsed(data: str) -> Hint | None:
    try:
        # A newer version may say more.
        hint = Hint(**{name: value for name, value in json.loads(data).items() if name in _FIELDS})
        if hint.attempt_id is not None:
            UUID(hint.attempt_id)
    except (ValueError, TypeError, AttributeError):
        logger().warning("hint not understood")
        return None
    return hint
