"""Where the servers are, for commands that look at them without control: `doctor`, `slots`."""

from pydantic import SecretStr

from dialer import config, embedded
from dialer.config import Settings


def settings_in_reach() -> Settings:
    """The settings; addresses that are unset are those of the embedded servers that `dialer up` runs here just now.

    Raises CheckYourSettings for what is set wrongly; an address may still be None.
    """
    return with_embedded(config.load())


def with_embedded(settings: Settings) -> Settings:
    """The same settings, with the addresses of running embedded servers where none are set."""
    if settings.database_url is not None and settings.redis_url is not None:
        return settings
    found = embedded.find(settings.dialer_data_dir)
    if found is None:
        return settings
    dsn, redis_url = (SecretStr(address) for address in found)
    return settings.model_copy(
        update={"database_url": settings.database_url or dsn, "redis_url": settings.redis_url or redis_url}
    )
