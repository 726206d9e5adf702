"""GET /docs: the API for people. One page of our own that reads /api/openapi.json; nothing comes from elsewhere."""

import base64
import hashlib
from importlib.resources import files

from aiohttp import web


def _part(name: str) -> str:
    return files(__package__).joinpath("docs_page", name).read_text("utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_STYLE, _SCRIPT = _part("page.css"), _part("page.js")
PAGE = _part("page.html").replace("/* STYLE */", _STYLE).replace("/* SCRIPT */", _SCRIPT)
HEADERS = {
    # By their hashes our own style and script run, and nothing else: not what a name or an example brought along.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


async def page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html", headers=HEADERS)
