"""What a caller asks of those around it: loops do not know each other."""

from typing import Protocol
from uuid import UUID

from dialer.rules.holding import Holding
from dialer.rules.tally import Tally


class SlotDesk(Protocol):
    """What a caller tells the desk of its business."""

    def committed(self, attempt_id: UUID) -> None: ...
    def not_used(self, holding: Holding, attempt_id: UUID, *, taken: bool = False) -> None: ...
    def doubt(self) -> None: ...
    def wake(self) -> None: ...


class LineLog(Protocol):
    """Who keeps the log of a run's waiting line."""

    async def look_ahead(self) -> None: ...
    def dialed(self, job_id: int) -> None: ...


class Room(Protocol):
    """How many creates may be unanswered at once; see loops/wire.py."""

    def room_now(self, wanted: int) -> int: ...
    async def room(self, wanted: int) -> int: ...
    def leave(self, count: int) -> None: ...


class Surroundings(Protocol):
    """What the daemon does for its callers."""

    worker: UUID
    tally: Tally

    def is_trusted(self, holding: Holding) -> bool: ...
    def lost(self, holding: Holding, why: str) -> None: ...
    async def account_changed(self, reason: str | None) -> None: ...
