"""Exceptions, named by what the caller must do."""


class CheckYourSettings(Exception):
    """The configuration is at fault: show the message to the operator and stop; nothing was started."""


class LetAPersonLook(Exception):
    """No trying again will help: show the message and stop."""


class TryAgainLater(Exception):
    """A dependency is away: nothing was decided; look again."""


class DatabaseAway(TryAgainLater):
    """Postgres did not answer. Where a write was in flight, its fate must be looked up, not assumed."""


class DatabaseRefused(DatabaseAway):
    """Postgres answered with an error: nothing was written, for certain. Another try may do."""


class RedisAway(TryAgainLater):
    """Redis did not answer. Nothing depends on it: go on by Postgres alone, and look again."""
