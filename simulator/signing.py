"""The carrier's request signature (`X-Twilio-Signature`)."""

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit


def signature(auth_token: str, url: str, fields: Mapping[str, str]) -> str:
    """Base64 of HMAC-SHA1 over the URL, then every key with its value, sorted by key, empty ones too."""
    text = signed_url(url) + "".join(key + fields[key] for key in sorted(fields))
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode(), "sha1")).decode()


def signed_url(url: str) -> str:
    """The URL as it is signed: never its fragment; with https no port, with http the port as given."""
    parts = urlsplit(url)
    host = parts.netloc
    if parts.scheme == "https" and parts.port is not None:
        host = host.rpartition(":")[0]
    return urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
