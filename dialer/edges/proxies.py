"""Which proxy a request goes through, by the environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

aiohttp would find out by itself (`trust_env`), in two threads for each request and from ~/.netrc, too: another
machine's password there is no reason to fail, or to send it to the carrier.
"""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


class Proxies:
    """The environment is read once for each host."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], str | None] = {}

    def of(self, url: str) -> str | None:
        """The URL of the proxy, with its user and password where it has them; None: go there directly."""
        parts = urlsplit(url)
        place = (parts.scheme, parts.hostname)
        if place not in self._known:
            self._known[place] = _look(*place)
        return self._known[place]


def _look(scheme: str, host: str | None) -> str | None:
    if host is None or proxy_bypass(host):
        return None
    return getproxies().get(scheme)
