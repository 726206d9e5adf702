"""The carrier: whether the account lets us in, and may call from the numbers that are in use."""

import asyncio
from collections.abc import Mapping

from dialer.cli.doctor.findings import Finding, fail, ok, warn
from dialer.cli.doctor.view import View
from dialer.config import secret, without_password
from dialer.edges.carrier import Account, Carrier, CarrierAway
from dialer.telemetry import masked

ACCOUNT, NUMBERS = "carrier account", "caller IDs"
ANSWER_WITHIN_SECONDS = 10.0
# Each costs up to two requests.
MOST_NUMBERS, AT_ONCE = 50, 5


async def look(view: View) -> list[Finding]:
    settings = view.settings
    carrier = Carrier(
        settings.twilio_account_sid or "",
        secret(settings.twilio_auth_token),
        settings.twilio_api_base_url,
        settings.callback_base_url,
        ANSWER_WITHIN_SECONDS,
    )
    try:
        account = judge_account(await carrier.account())
        # Whoever is not let in is told nothing of numbers.
        return [account] if account.level == "FAIL" else [account, await _numbers(carrier, view)]
    except CarrierAway as away:
        where = without_password(settings.twilio_api_base_url)
        advice = f"does {where} answer from here, and does a proxy (HTTPS_PROXY) stand between?"
        return [fail(ACCOUNT, f"the carrier does not answer ({away})", advice)]
    finally:
        await carrier.close()


async def _numbers(carrier: Carrier, view: View) -> Finding:
    used = await view.postgres.numbers_in_use(MOST_NUMBERS) if view.is_migrated else {}
    if view.settings.twilio_from_number:
        used = {view.settings.twilio_from_number: "TWILIO_FROM_NUMBER", **used}
    gate = asyncio.Semaphore(AT_ONCE)

    async def may_call(number: str) -> bool:
        async with gate:
            return await carrier.may_call_from(number)

    allowed = await asyncio.gather(*map(may_call, used))
    return judge_numbers(used, {n for n, may in zip(used, allowed, strict=True) if may})


def judge_account(account: Account) -> Finding:
    if account.refused is not None:
        return fail(
            ACCOUNT,
            f"the carrier does not let us in (HTTP {account.refused})",
            "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN must be those that the carrier's console shows",
        )
    if account.status != "active":
        return fail(
            ACCOUNT, f"it is {account.status}", "nothing can be dialed: see the carrier's console, or its support"
        )
    if account.kind == "Trial":
        return warn(
            ACCOUNT,
            "active, on trial",
            "a trial account calls only numbers that were verified: upgrade it to dial",
        )
    return ok(ACCOUNT, "active")


def judge_numbers(used: Mapping[str, str], allowed: set[str]) -> Finding:
    """`used`: number -> who uses it."""
    if not used:
        return warn(
            NUMBERS, "none is set", "set TWILIO_FROM_NUMBER or a business's number, or name one with every run"
        )
    refused = [f"{masked(number)} ({owner})" for number, owner in used.items() if number not in allowed]
    if refused:
        return fail(
            NUMBERS,
            f"not of this account, nor verified by it: {', '.join(refused)}",
            "buy or verify them at the carrier, or set others: every call from them is refused (21210, 21212)",
        )
    most = f" (the first {MOST_NUMBERS} were looked at)" if len(used) >= MOST_NUMBERS else ""
    return ok(NUMBERS, f"the account may call from {len(used)} number(s) in use{most}")
