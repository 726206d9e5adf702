"""The only place that makes clients of Redis: of one server, of the master that Sentinels name, of a cluster.

Everybody else asks for a RedisClient, and need not know which it is. Each command has one time-out, and one
immediate retry where the connection failed: the client library's usual patience would be seconds without dialing.
Whatever may be asked here may be asked twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import redis.asyncio as redis
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from dialer.edges.redis_cluster import ClusterRedis
from dialer.edges.redis_server import AWAY, OneRedis, Script
from dialer.rules import redis_place

__all__ = ["AWAY", "OneRedis", "RedisClient", "Script", "open_listening", "open_redis"]


class RedisClient(Protocol):
    """What is asked of Redis, wherever it is. Every method raises AWAY."""

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run a script; all its keys carry one hash tag."""

    async def hgetall(self, key: str) -> dict[str, str]: ...
    async def all_fields(self, keys: Sequence[str]) -> dict[str, dict[str, str]]:
        """Key -> its hash, in one trip to each server; of servers that do not answer none."""

    async def keys(self, pattern: str) -> set[str]:
        """All keys that match, of all servers that answer. It goes through everything: not often."""

    async def clocks(self, keys: Iterable[str] | None = None) -> dict[str, int]:
        """Home -> its clock in ms, of the homes of these keys (None: of all) that answer. Two may differ."""

    def home(self, key: str) -> str:
        """The server that keeps this key, as far as it is known: one name for all where there is one server."""

    async def publish(self, channel: str, text: str) -> None: ...
    async def ping(self) -> None:
        """Returns when all of Redis can be used."""

    async def eviction_policies(self) -> set[str]:
        """`maxmemory-policy` of every server that tells it."""

    async def aclose(self) -> None: ...


def open_redis(url: str, timeout_seconds: float) -> RedisClient:
    """A client with a pool of its own. Nothing is asked of anybody yet; texts come back as texts."""
    place = redis_place.parse(url)
    options = _options(place, timeout_seconds, timeout_seconds, retries=1)
    if place.kind == "cluster":
        return ClusterRedis(place.hosts, lambda host, port: _at(host, port, options))
    return _one(place, options)


def open_listening(url: str, connect_within_seconds: float, attempt: int) -> OneRedis:
    """A client to subscribe with: it waits for ever, and retries nothing by itself.

    Of a cluster it is one node after the other, by the number of the attempt: what is published at any is heard
    at every one.
    """
    place = redis_place.parse(url)
    options = _options(place, None, connect_within_seconds, retries=0)
    if place.kind == "cluster":
        return OneRedis(_at(*place.hosts[attempt % len(place.hosts)], options))
    return _one(place, options)


# -- how clients are made ---------------------------------------------------------------------------------


def _options(
    place: redis_place.RedisPlace, timeout: float | None, connect_within: float, retries: int
) -> dict[str, Any]:
    told = parse_url(place.single)
    return {
        **told,
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_within,
        "retry": Retry(NoBackoff(), retries),
        "decode_responses": True,
    }


def _one(place: redis_place.RedisPlace, options: dict[str, Any]) -> OneRedis:
    if place.kind == "one":
        return OneRedis(redis.Redis.from_pool(ConnectionPool(**options)))
    is_tls = "connection_class" in options
    managed = {
        **options,
        "connection_class": SentinelManagedSSLConnection if is_tls else SentinelManagedConnection,
    }
    for name in ("host", "port"):
        managed.pop(name)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        place.hosts, sentinel_kwargs=_of_sentinels(place, options, is_tls)
    )
    pool = SentinelConnectionPool(place.master, sentinel, **managed)  # type: ignore[no-untyped-call]
    return OneRedis(redis.Redis.from_pool(pool), sentinel)


def _of_sentinels(place: redis_place.RedisPlace, options: dict[str, Any], is_tls: bool) -> dict[str, Any]:
    """Sentinels are asked in turn whenever a connection is made: the next one is the retry."""
    within = options["socket_connect_timeout"]
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return {
        "username": place.sentinel_username,
        "password": place.sentinel_password,
        "socket_timeout": within,
        "socket_connect_timeout": within,
        "retry": Retry(NoBackoff(), 0),
        **({"ssl": True, **tls} if is_tls else {}),
    }


def _at(host: str, port: int, options: dict[str, Any]) -> redis.Redis:
    return redis.Redis.from_pool(ConnectionPool(**{**options, "host": host, "port": port}))
