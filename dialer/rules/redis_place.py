"""What REDIS_URL says: one server, a master that Sentinels know, or a cluster.

redis://host:6379/0 · rediss://… · unix:///path · redis+sentinel://s1:26379,s2:26379/master/0 ·
redis+cluster://n1:6379,n2:6379; with `rediss+` both over TLS.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_PORTS = {"sentinel": 26379, "cluster": 6379}
# These are for the Sentinels themselves; all else is for the servers.
_OF_SENTINELS = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """`hosts`: of the Sentinels or of some nodes. `single`: a URL of one server, with all the options in it."""

    kind: Literal["one", "sentinel", "cluster"]
    single: str
    hosts: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = None


def parse(url: str) -> RedisPlace:
    """Read a REDIS_URL. Raises ValueError, which does not repeat the URL: it may hold a password."""
    # Not by urllib: of several hosts one may be in brackets, which newer ones of it refuse.
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in SCHEMES)}")
    base, _, many = scheme.partition("+")
    if not many:
        return RedisPlace("one", url)
    place, _, text = rest.partition("#")[0].partition("?")
    authority, slash, path = place.partition("/")
    user, at, names = authority.rpartition("@")
    hosts = tuple(_host(name, _PORTS[many]) for name in names.split(","))
    options = dict(parse_qsl(text))
    sentinel = {name: options.pop(name, None) for name in _OF_SENTINELS}
    master, database = _path(slash + path, many)
    query = f"?{urlencode(options)}" if options else ""
    single = f"{base}://{user}{at}{_joined(hosts[0])}{database}{query}"
    if many == "cluster":
        return RedisPlace("cluster", single, hosts)
    return RedisPlace("sentinel", single, hosts, master, **sentinel)


def _path(path: str, many: str) -> tuple[str, str]:
    """The master's name, and what is left of the path: the number of a database."""
    names = [unquote(name) for name in path.split("/") if name]
    if many == "cluster":
        if names not in ([], ["0"]):
            raise ValueError("a cluster has the database 0 alone: leave the path away")
        return "", ""
    if not names:
        raise ValueError("must name the master that the Sentinels know: redis+sentinel://host:26379/master")
    if len(names) > 2 or not all(name.isdecimal() for name in names[1:]):
        raise ValueError("after the master's name only the number of a database may follow")
    return names[0], "".join(f"/{name}" for name in names[1:])


def _host(name: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{name}")
        found = parts.port
    except ValueError:
        raise ValueError("has a port that is no number") from None
    if not parts.hostname:
        raise ValueError("must name at least one host, and none may be empty between commas")
    return parts.hostname, port if found is None else found


def _joined(host: tuple[str, int]) -> str:
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
