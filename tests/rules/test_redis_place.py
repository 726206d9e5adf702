"""What a REDIS_URL may say."""

from __future__ import annotations

import pytest

from dialer.rules.redis_place import RedisPlace, parse


@pytest.mark.parametrize("url", ["redis://:pw@h:6380/2", "rediss://h?ssl_ca_certs=/ca.pem", "unix:///r.sock?db=1"])
def test_one_server_is_left_to_the_library(url: str) -> None:
    assert parse(url) == RedisPlace("one", url)


def test_sentinels_name_a_master() -> None:
    place = parse("rediss+sentinel://me:p%40ss@a,[::1]:5/main/3?ssl_ca_certs=/ca.pem&sentinel_password=x%2Fy")
    assert (place.kind, place.master, place.hosts) == ("sentinel", "main", (("a", 26379), ("::1", 5)))
    assert place.single == "rediss://me:p%40ss@a:26379/3?ssl_ca_certs=%2Fca.pem"
    assert (place.sentinel_username, place.sentinel_password) == (None, "x/y")


def test_a_cluster_is_some_of_its_nodes() -> None:
    place = parse("redis+cluster://:pw@a:7000,b")
    assert (place.kind, place.hosts) == ("cluster", (("a", 7000), ("b", 6379)))
    assert place.single == "redis://:pw@a:7000"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://h", "starts with redis://"),
        ("redis+sentinel://a,b", "name the master"),
        ("redis+sentinel://a/main/x", "number of a database"),
        ("redis+sentinel://a,,b/main", "between commas"),
        ("redis+cluster://a/3", "database 0 alone"),
        ("redis+cluster://a:secret", "no number"),
        ("redis+cluster://", "at least one host"),
    ],
)
def test_what_cannot_be_is_told_without_the_url(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        parse(url)
    assert "secret" not in str(refused.value)
