"""What can be done to a way through a proxy; `pass_all` mends each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.support.proxy import Proxy

Spoil = Callable[[Proxy], Awaitable[None]]


async def refuse(way: Proxy) -> None:
    await way.refuse()


async def freeze(way: Proxy) -> None:
    way.freeze()


async def swallow_answers(way: Proxy) -> None:
    way.swallow(answers_only=True)
