"""What Redis shows of many businesses, read in one trip: to see that there is nothing to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dialer.edges.redis_client import open_redis
from dialer.edges.slots import TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class Shown:
    """`clocks`: the clock of each Redis server that answers (see Slots.home), just before; ms.

    `members`: business -> slot -> attempt, where every slot is confirmed. A business that has reservations, slots
    taken from sight, or lost them all, or whose server does not answer, is not among them.
    """

    clocks: Mapping[str, int]
    members: Mapping[int, Mapping[int, str]]


class Glance:
    """A connection of its own: many answers at once are many bytes, which a trip for slots must not wait behind."""

    def __init__(self, redis_url: str, namespace: str) -> None:
        self._redis = open_redis(redis_url, TIMEOUT_SECONDS)
        self._namespace = namespace

    async def of(self, business_ids: Sequence[int]) -> Shown:
        """Look. Of servers that are away it shows nothing."""
        # As line.lua describes it.
        keys = [f"dialer:{{{self._namespace}:{business_id}}}:held" for business_id in business_ids]
        clocks = await self._redis.clocks(keys)
        held = await self._redis.all_fields(keys) if clocks else {}
        found = {
            business_id: members
            for business_id, key in zip(business_ids, keys, strict=True)
            if (members := _confirmed(held.get(key, {}))) is not None
        }
        return Shown(clocks, found)

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()


def _confirmed(held: Mapping[str, str]) -> dict[int, str] | None:
    if "generation" not in held:
        return None
    members = {}
    for slot, text in held.items():
        if slot != "generation":
            attempt, _, expires = text.split("|")
            if expires != "0":
                return None
            members[int(slot)] = attempt
    return members
