"""Redis: whether it answers, and keeps what it is given."""

from collections.abc import Collection
from contextlib import AsyncExitStack

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View
from dialer.config import secret
from dialer.edges.redis_view import RedisView
from dialer.errors import RedisAway

SERVER, POLICY = "redis", "redis policy"

_WHY = {
    "AuthenticationError": "user or password in REDIS_URL is wrong, or missing",
    "ConnectionError": "nobody listens there: is Redis running, and do host and port of REDIS_URL fit?",
    "TimeoutError": "it is too slow, or the network swallows what is sent",
}


async def open_redis(stack: AsyncExitStack, view: View) -> list[Finding]:
    """Look at the server itself, and leave it in the view for the other groups."""
    if view.settings.redis_url is None:
        return []
    redis = RedisView(secret(view.settings.redis_url))
    stack.push_async_callback(redis.close)
    try:
        await redis.ping()
        policies = await redis.policies()
    except RedisAway as away:
        return [judge_away(str(away))]
    view.redis = redis
    return [ok(SERVER, "answers"), judge_policy(policies)]


def judge_away(error: str) -> Finding:
    advice = _WHY.get(error, "is it running, and does REDIS_URL name it?")
    return fail(SERVER, f"does not answer ({error})", f"{advice} Meanwhile calls go on by Postgres alone, slower")


def judge_policy(policies: Collection[str]) -> Finding:
    if not policies:
        advice = "make sure that it is noeviction: with any other it may forget who holds which slot"
        return warn(POLICY, "may not be asked for, as with most hosted ones", advice)
    wrong = sorted(set(policies) - {"noeviction"})
    if wrong:
        return fail(
            POLICY,
            f"maxmemory-policy is {', '.join(wrong)}",
            "run CONFIG SET maxmemory-policy noeviction, and set it in redis.conf: full, it would forget slots",
        )
    return ok(POLICY, "noeviction")
