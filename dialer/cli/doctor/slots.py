"""Slots: whether Redis shows those of the calls that Postgres knows."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from uuid import uuid4

from dialer.cli.doctor.findings import Finding, ok, warn
from dialer.cli.doctor.view import View
from dialer.cli.slots import ANSWER_WITHIN_SECONDS, compared
from dialer.config import secret
from dialer.edges.slots import Slots
from dialer.rules.drift import DRIFTED, Seen

CHECK = "slots"
# A call that ends between two looks is no drift; a hint that got lost is made up for within two seconds.
LOOK_AGAIN_AFTER_SECONDS = 2.5


async def look(view: View) -> list[Finding]:
    namespace = await view.postgres.installation()
    held = Slots(secret(view.settings.redis_url), namespace, uuid4(), None, timeout_seconds=ANSWER_WITHIN_SECONDS)
    try:
        first = await compared(view.postgres, held)
        drifted = {one for one in first if one.state in DRIFTED}
        if drifted:
            await asyncio.sleep(LOOK_AGAIN_AFTER_SECONDS)
            drifted &= set(await compared(view.postgres, held))
    finally:
        await held.close()
    return [judge(len(first), drifted)]


def judge(held: int, drifted: Iterable[Seen]) -> Finding:
    """`held`: slots that either side shows. `drifted`: of these, those that stayed so."""
    seen = list(drifted)
    if not seen:
        return ok(CHECK, f"{held} held, all as Postgres has them")
    states = ", ".join(f"{count} {state}" for state, count in sorted(Counter(one.state for one in seen).items()))
    businesses = ", ".join(map(str, sorted({one.business_id for one in seen})[:10]))
    return warn(
        CHECK,
        f"{held} held; drifted: {states} (business {businesses})",
        "daemons mend it within a minute, `dialer slots reconcile` at once; see `dialer slots list --drifted`",
    )
