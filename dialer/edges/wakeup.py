"""Hints over Redis pub/sub: "look again". None carries a decision; all of them may be lost."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dialer.telemetry import logger

PUBLISH_TIMEOUT_SECONDS = 0.5
PING_EVERY_SECONDS = 2.0
RECONNECT_AFTER_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Hint:
    """Something changed.

    `released`: the attempt in this slot has ended. `run`: a run was started, resumed or stopped.
    `business`: a limit was changed. `handed`: a slot was handed to a ticket of the daemon named in `to`.
    """

    kind: Literal["released", "run", "business", "handed"]
    business_id: int
    run_id: int | None = None
    attempt_id: str | None = None
    slot: int | None = None
    job_id: int | None = None
    to: str | None = None


def channel(namespace: str) -> str:
    """The one channel of an installation (`namespace`: the id in table `installation`)."""
    return f"dialer:{namespace}:hints"


def client(redis_url: str) -> redis.Redis:
    """A connection for publishing: short time-outs, one immediate retry (a hint said twice is harmless)."""
    return redis.Redis.from_url(
        redis_url,
        socket_timeout=PUBLISH_TIMEOUT_SECONDS,
        socket_connect_timeout=PUBLISH_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
    )


async def publish(connection: redis.Redis, namespace: str, hint: Hint) -> bool:
    """Say it once. False when Redis is away: whoever waits will look by itself."""
    payload = json.dumps({k: v for k, v in asdict(hint).items() if v is not None})
    try:
        await connection.publish(channel(namespace), payload)
    except (RedisError, OSError) as error:
        logger().debug("hint not sent", kind=hint.kind, error=type(error).__name__)
        return False
    return True


class Listener:
    """Hears hints, reconnects by itself, and has everybody look again after each (re)subscription."""

    def __init__(self, redis_url: str, namespace: str, look_again: Callable[[], Awaitable[None]]) -> None:
        self._url = redis_url
        self._channel = channel(namespace)
        self._look_again = look_again

    async def hints(self) -> AsyncIterator[Hint]:
        """Hints, for ever. After each (re)subscription `look_again` is awaited: what was said before is lost."""
        while True:
            connection = redis.Redis.from_url(
                self._url,
                socket_timeout=None,
                socket_connect_timeout=1.0,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
            try:
                async with connection.pubsub(ignore_subscribe_messages=False) as pubsub:
                    await pubsub.subscribe(self._channel)
                    async for hint in self._heard(pubsub):
                        yield hint
            except (RedisError, OSError, TimeoutError) as error:
                logger().debug("hints interrupted", error=type(error).__name__)
                await asyncio.sleep(RECONNECT_AFTER_SECONDS)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await connection.aclose()

    async def _heard(self, pubsub: Any) -> AsyncIterator[Hint]:
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
                hint = _parsed(message["data"])
                if hint is not None:
                    yield hint


def _parsed(data: str) -> Hint | None:
    try:
        hint = Hint(**json.loads(data))
        if hint.attempt_id is not None:
            UUID(hint.attempt_id)
    except (ValueError, TypeError, AttributeError):
        logger().warning("hint not understood")
        return None
    return hint
