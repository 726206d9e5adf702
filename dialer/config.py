"""Settings: read from the environment once, checked as a whole, passed in from then on.

Every secret may also be given as `NAME_FILE`, the path of a file that holds it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pydantic
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from dialer.errors import CheckYourSettings
from dialer.rules import redis_place

Seconds = Annotated[float, Field(gt=0, le=86_400)]

SECRETS = (
    "DATABASE_URL",
    "MIGRATION_DATABASE_URL",
    "REDIS_URL",
    "TWILIO_AUTH_TOKEN",
    "DIALER_ADMIN_TOKEN",
    "METRICS_TOKEN",
)
MASK = "********"
_CREDENTIALS = re.compile(r"^([a-z]+://)[^/?#]*@", re.IGNORECASE)


class Settings(BaseSettings):
    """Everything that can be set. A name in capitals is the variable; units are in the names."""

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    # 0 behind a pooler that does not know prepared statements (PgBouncer before 1.21, in transaction mode).
    database_statement_cache_size: Annotated[int, Field(ge=0, le=10_000)] = 100
    redis_url: SecretStr | None = None
    dialer_data_dir: Path = Path(".dialer")
    service_role: Literal["api", "worker", "all"] = "all"

    twilio_account_sid: Annotated[str, Field(pattern=r"^AC[0-9a-zA-Z]{32}$")] | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_from_number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = None
    twilio_api_base_url: str = "https://api.twilio.com"
    # Not below what the carrier may take to answer: an answer that comes later is an unknown attempt.
    twilio_timeout_seconds: Seconds = 31.0
    twilio_calls_per_second: Annotated[float, Field(ge=0, le=10_000)] = 1.0

    public_base_url: str = ""
    control_host: str = "127.0.0.1"
    control_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    dialer_admin_token: SecretStr | None = None
    metrics_token: SecretStr | None = None

    max_concurrent_calls_per_business: Annotated[int, Field(ge=1, le=10_000)] = 3
    heartbeat_interval_seconds: Seconds = 1.0
    takeover_after_seconds: Seconds = 6.0
    stale_after_seconds: Seconds = 30.0
    resume_within_seconds: Seconds = 300.0
    call_silent_after_seconds: Seconds = 30.0
    unknown_after_seconds: Seconds = 30.0
    carrier_list_lag_seconds: Seconds = 60.0
    ring_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 60
    call_time_limit_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600

    max_request_bytes: Annotated[int, Field(ge=1024)] = 67_108_864
    rate_limit_per_second: Annotated[float, Field(gt=0)] = 50.0

    recordings_dir: Path | None = None
    # A bucket instead: s3://bucket/prefix.
    recordings_url: (
        Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?$")] | None
    ) = None
    recording_downloads_per_business: Annotated[int, Field(ge=1, le=100)] = 3
    recording_format: Literal["mp3", "wav"] = "mp3"
    recording_stall_seconds: Seconds = 30.0
    recording_retry_seconds: Seconds = 2.0
    recording_retention_days: Annotated[float, Field(ge=0, le=36_500)] = 0.0
    recording_delete_at_carrier: bool = False

    # What control forgets after so many days; see control/pruner.py.
    events_keep_days: Annotated[float, Field(ge=1, le=36_500)] = 90.0
    audit_keep_days: Annotated[float, Field(ge=1, le=36_500)] = 400.0
    daemons_keep_days: Annotated[float, Field(ge=1, le=36_500)] = 7.0

    run_migrations: bool = False
    migration_database_url: SecretStr | None = None
    migration_lock_wait_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    migration_statement_timeout: Annotated[str, Field(pattern=r"^[0-9]+ *(ms|s|min|h)?$")] = "120s"

    # Set by systemd, or by what speaks its protocol; see dialer/edges/supervisor.py.
    notify_socket: Annotated[str, Field(pattern=r"^[/@].")] | None = None
    watchdog_usec: Annotated[int, Field(gt=0)] | None = None
    watchdog_pid: int | None = None

    # For tests that crash everywhere; see dialer/crashpoints.py.
    dialer_crash_points: str = ""

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], NoDecode] = "INFO"
    log_format: Literal["json", "console"] | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load` alone reads the environment: it knows of files, and what is empty is unset for it."""
        return (init_settings,)

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        return _with_scheme(value, "postgres", "postgresql")

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            redis_place.parse(value.get_secret_value())
        return value

    @field_validator("twilio_api_base_url", "public_base_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an http:// or https:// URL")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _lease_outlasts_its_beats(self) -> "Settings":
        if self.takeover_after_seconds < 3 * self.heartbeat_interval_seconds:
            raise ValueError("TAKEOVER_AFTER_SECONDS must be at least 3 x HEARTBEAT_INTERVAL_SECONDS")
        return self

    @property
    def callback_base_url(self) -> str:
        """What callback URLs start with, and what the carrier's signatures are checked against."""
        return self.public_base_url or f"http://{self.control_host}:{self.control_port}"

    @property
    def recordings_root(self) -> Path:
        """Where recordings are kept, unless in a bucket."""
        return self.recordings_dir or self.dialer_data_dir / "recordings"

    def require(self, *names: str) -> None:
        """Raise CheckYourSettings naming every one of these variables that is unset."""
        missing = [name for name in names if getattr(self, name.lower()) is None]
        if missing:
            raise CheckYourSettings(_as_message([(name, "must be set") for name in missing]))


def load(environment: Mapping[str, str] | None = None, *, require: tuple[str, ...] = ()) -> Settings:
    """Read the settings from the environment.

    `require` names variables that this process cannot do without. Raises CheckYourSettings with every fault at
    once, by the variable's name and without its value.
    """
    values, faults = _values(os.environ if environment is None else environment)
    try:
        settings = Settings.model_validate(values)
    except pydantic.ValidationError as error:
        faults += [(_variable(item), item["msg"]) for item in error.errors(include_input=False, include_url=False)]
        faulty = {name for name, _ in faults}
        missing = [n for n in require if n.lower() not in values and n not in faulty]
        raise CheckYourSettings(_as_message(faults + [(n, "must be set") for n in missing])) from None
    missing = [name for name in require if getattr(settings, name.lower()) is None]
    faults += [(name, "must be set") for name in missing if name not in {n for n, _ in faults}]
    if faults:
        raise CheckYourSettings(_as_message(faults))
    return settings


def refuse_unreachable_callbacks(settings: Settings) -> None:
    """Raise CheckYourSettings when the real carrier would be given callback URLs that lead to itself."""
    if is_loopback(settings.callback_base_url) and not is_loopback(settings.twilio_api_base_url):
        what = (
            f"{without_password(settings.callback_base_url)} cannot be reached by the carrier; set it to a public "
            "https:// URL that leads to control (to try things out, a tunnel such as ngrok or cloudflared gives one)"
        )
        raise CheckYourSettings(_as_message([("PUBLIC_BASE_URL", what)]))


def is_loopback(url: str) -> bool:
    """Whether a URL leads to the very machine that uses it."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1", "0.0.0.0") or host.startswith("127.")  # noqa: S104 - compared, not bound


def without_password(url: str) -> str:
    """A URL for people to see: what stands before its host may be a secret."""
    return _CREDENTIALS.sub(rf"\1{MASK}@", url)


def secret(value: SecretStr | None) -> str:
    """The text of a secret that was required to be set."""
    return value.get_secret_value() if value is not None else ""


def _values(environment: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The variables that are ours and not empty, those of files included."""
    faults: list[tuple[str, str]] = []
    values = {}
    for field in Settings.model_fields:
        name = field.upper()
        text = environment.get(name, "")
        path = environment.get(f"{name}_FILE", "") if name in SECRETS else ""
        if path and text:
            faults.append((name, f"is set, and {name}_FILE too: set one"))
        elif path:
            try:
                text = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                faults.append((f"{name}_FILE", f"cannot be read ({type(error).__name__})"))
        if text:
            values[field] = text
    return values, faults


def _variable(item: Any) -> str:
    return str(item["loc"][0]).upper() if item["loc"] else "settings"


def _as_message(faults: list[tuple[str, str]]) -> str:
    return "the configuration is at fault:\n" + "\n".join(f"  {name}: {what}" for name, what in faults)


def _with_scheme(value: SecretStr | None, *schemes: str) -> SecretStr | None:
    if value is not None and urlsplit(value.get_secret_value()).scheme not in schemes:
        raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
    return value
