"""Waiting for facts instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T]],
    timeout: float = 5.0,
    interval: float = 0.01,
    description: str | None = None,
) -> T: ...


@overload
async def eventually(
    predicate: Callable[[], T], timeout: float = 5.0, interval: float = 0.01, description: str | None = None
) -> T: ...


async def eventually(
    predicate: Callable[[], T | Awaitable[T]],
    timeout: float = 5.0,
    interval: float = 0.01,
    description: str | None = None,
) -> T:
    """Wait until `predicate()` gives something true, and return that.

    Raises AssertionError, telling what was waited for and the last value, after `timeout` seconds. An
    AssertionError inside the predicate counts as "not yet" and becomes the cause of the final one.
    """
    deadline = time.monotonic() + timeout
    while True:
        refusal: AssertionError | None = None
        value: T | None = None
        try:
            answer = predicate()
            # The rest of the time bounds the predicate too: one that hangs fails the test by its name.
            value = (
                await asyncio.wait_for(answer, max(0.1, deadline - time.monotonic()))
                if inspect.isawaitable(answer)
                else answer
            )
        except AssertionError as error:
            refusal = error
        except TimeoutError as error:
            refusal = AssertionError(str(error) or "the predicate itself did not return in time")
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"not within {timeout} s: {description or _describe(predicate)}; last seen: {refusal or value!r}"
            ) from refusal
        await asyncio.sleep(interval)


def eventually_sync(
    predicate: Callable[[], T], timeout: float = 5.0, interval: float = 0.01, description: str | None = None
) -> T:
    """The same for tests without an event loop; `predicate` is a plain function."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            what = description or _describe(predicate)
            raise AssertionError(f"not within {timeout} s: {what}; last seen: {value!r}")
        time.sleep(interval)


def _describe(predicate: Callable[[], object]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)
