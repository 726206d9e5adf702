"""Callbacks: whether the carrier can reach us under PUBLIC_BASE_URL, and its signatures will be believed."""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View
from dialer.config import is_loopback, secret, without_password
from dialer.edges.knock import Answered, knock

URL, ROUND_TRIP = "callback URL", "callback round trip"


async def look(view: View) -> list[Finding]:
    settings = view.settings
    url = settings.callback_base_url
    carrier_is_here = is_loopback(settings.twilio_api_base_url)
    answered = await knock(url, settings.twilio_account_sid or "", secret(settings.twilio_auth_token))
    shown = without_password(url)
    return [
        judge_url(shown, await _addresses(url), carrier_is_here=carrier_is_here),
        judge_round_trip(shown, answered),
    ]


async def _addresses(url: str) -> list[str]:
    """Those of its host; none when it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(address[4][0]).partition("%")[0] for address in found})


def judge_url(url: str, addresses: Iterable[str], *, carrier_is_here: bool) -> Finding:
    """`carrier_is_here`: a simulated one on this machine, which reaches whatever we reach."""
    known = list(addresses)
    if carrier_is_here:
        return ok(URL, f"{url}, for a carrier on this machine")
    tunnel = "set PUBLIC_BASE_URL to a public https:// URL that leads to control (to try out, a tunnel gives one)"
    if not known:
        return fail(URL, f"the host of {url} has no address", f"mend its DNS, or {tunnel}")
    hidden = [address for address in known if not ip_address(address).is_global]
    if hidden:
        return fail(URL, f"{url} leads to {hidden[0]}, which the carrier cannot reach", tunnel)
    if urlsplit(url).scheme != "https":
        return warn(URL, f"{url} is not https", "numbers and what became of calls travel readable for everybody")
    return ok(URL, url)


def judge_round_trip(url: str, answered: Answered) -> Finding:
    """We knock with a good signature and an attempt that cannot be: control says 422 when it believed us."""
    if answered.error is not None:
        return fail(
            ROUND_TRIP,
            f"nobody answers at {url} ({answered.error})",
            "is control running, does the proxy lead to it, is its certificate good? (A firewall may also keep only "
            "this machine out: then ask from outside)",
        )
    status, code = answered.status or 0, answered.code
    if (status, code) == (422, "invalid_input"):
        return ok(ROUND_TRIP, "a signed callback came through, and its signature was believed")
    if (status, code) == (403, "bad_signature"):
        return fail(
            ROUND_TRIP,
            "control does not believe our signature",
            "control must have the same TWILIO_AUTH_TOKEN and PUBLIC_BASE_URL as here; a proxy must not change path or "
            "query",
        )
    if status == 503:
        return fail(ROUND_TRIP, f"control is not ready ({code or 503})", "see the checks of postgres and schema")
    if 300 <= status < 400:
        return fail(
            ROUND_TRIP,
            f"{url} redirects (HTTP {status})",
            "set PUBLIC_BASE_URL to where it leads: the carrier signs the first URL, and follows with a GET",
        )
    return fail(
        ROUND_TRIP,
        f"what answers at {url} is not control (HTTP {status})",
        "let PUBLIC_BASE_URL, or the proxy behind it, lead to control with /webhook/ and all below",
    )
