"""What Redis must show when all is quiet."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import eventually
from tests.system.stack import Stack


async def slots_are_free(system: Stack, redis: Any) -> None:
    """In quiet, Redis holds no slot (I12)."""

    async def none_held() -> bool:
        keys = await redis.keys("dialer:*:held")
        fields = [await redis.hkeys(key) for key in keys]
        return bool(keys) and all(names == [b"generation"] for names in fields)

    await eventually(none_held, timeout=10)
