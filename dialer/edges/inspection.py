"""Postgres, as a person looks at it: `dialer doctor` and `dialer slots`. Nothing here writes."""

from dialer.edges.store import Store


class Inspection(Store):
    """The store, and what dialing itself never asks. Every method raises DatabaseAway."""

    async def businesses_at_work(self) -> set[int]:
        """Businesses with attempts that may have a call."""
        return {r["business_id"] for r in await self._rows("businesses_at_work")}
