"""What the groups look through: opened once, closed at the end."""

from collections.abc import Callable
from dataclasses import dataclass

from dialer.config import Settings
from dialer.edges.inspection import Inspection
from dialer.edges.redis_view import RedisView


@dataclass
class View:
    """`clock`: this machine's, seconds since 1970. What is None could not be opened, and has a finding that says why.

    `is_migrated`: the schema is at least the one that is needed, so that the tables may be asked.
    """

    settings: Settings
    clock: Callable[[], float]
    inspection: Inspection | None = None
    is_migrated: bool = False
    redis: RedisView | None = None

    @property
    def postgres(self) -> Inspection:
        assert self.inspection is not None  # noqa: S101 - `examine` asks no group that lacks what it needs
        return self.inspection

    @property
    def valkey(self) -> RedisView:
        assert self.redis is not None  # noqa: S101 - likewise
        return self.redis
