"""GET /metrics, for Prometheus: what this process has counted, what daemons have, and how it stands in Postgres.

No figure is told by business: that is what /api/outbound_calls/counts is for. docs/metrics.md lists all of them.
"""

import hmac
import time

from aiohttp import hdrs, web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from control.context import CONTEXT
from control.probes import metrics_scrape
from control.requests.problems import Handler, unauthorized

METHODS = hdrs.METH_ALL
UNMATCHED = "unmatched"


async def metrics(request: web.Request) -> web.Response:
    """Answered whatever is away: what this process itself knows is always there."""
    context = request.app[CONTEXT]
    wanted = context.settings.metrics_token
    if wanted is not None:
        _must_bear(request, wanted.get_secret_value())
    text = generate_latest(context.metrics.registry) + await metrics_scrape.text(context)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every answer by its route's pattern: a path, or a method of the client's own making, is no label."""
    began_at = time.monotonic()
    response = await handler(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else UNMATCHED
    method = request.method if request.method in METHODS else "other"
    known = request.app[CONTEXT].metrics
    known.requests.labels(method, route, str(response.status)).inc()
    if isinstance(response, web.Response):
        known.request_seconds.labels(method, route).observe(time.monotonic() - began_at)
    return response


def _must_bear(request: web.Request, wanted: str) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given = token.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted.encode()):
        raise unauthorized(
            "bad_token" if token else "no_token", "send the METRICS_TOKEN: Authorization: Bearer TOKEN"
        )
