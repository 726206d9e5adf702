"""Faults of the settings are told by their names, and without what they say."""

from __future__ import annotations

import pytest

from dialer.config import load
from dialer.errors import CheckYourSettings


@pytest.mark.parametrize("url", ["redis+sentinel://:secret@s1,s2", "redis+cluster://:secret@n1/3", "tcp://secret"])
def test_a_redis_url_that_cannot_be_used_is_told_before_anything_starts(url: str) -> None:
    with pytest.raises(CheckYourSettings, match="REDIS_URL") as refused:
        load({"REDIS_URL": url})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write",
        "postgres://u@/d?host=/run/one,/run/two",
    ],
)
def test_a_database_may_be_at_several_hosts(url: str) -> None:
    settings = load({"DATABASE_URL": url})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url
