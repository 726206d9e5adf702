"""`dialer businesses` and `dialer keys`: for the operator, on a real control."""

from __future__ import annotations

import json

import pytest

from tests.cli.control import Control, rows


def facts(text: str) -> dict[str, str]:
    return {name: " ".join(value) for name, *value in (line.split() for line in text.splitlines())}


async def test_a_business_is_added_changed_and_listed(control: Control) -> None:
    said = await control.done(
        "businesses", "add", "Acme & Sons", "--limit", "5", "--from-number", "+15005550006", "--region", "IL"
    )
    shown = facts(said.out)
    assert (shown["business_id"], shown["name"], shown["timezone"]) == ("1", "Acme & Sons", "UTC")
    assert (shown["max_concurrent_calls"], shown["default_region"]) == ("5", "IL")
    changed = await control.json("businesses", "set", "1", "--limit", "2", "--region", "", "--name", "Acme")
    assert (changed["max_concurrent_calls"], changed["default_region"], changed["name"]) == (2, None, "Acme")
    assert changed["from_number"] == "+15005550006"
    zone = await control.json("businesses", "add", "Other", "--timezone", "Asia/Jerusalem")
    assert zone["timezone"] == "Asia/Jerusalem"
    assert [row[:2] for row in rows(await control.done("businesses", "list"))] == [["1", "Acme"], ["2", "Other"]]
    assert [one["name"] for one in await control.json("businesses", "list")] == ["Acme", "Other"]


async def test_every_fault_of_a_business_is_told_at_once(control: Control) -> None:
    said = await control.tell("businesses", "add", "Acme", "--timezone", "nowhere", "--region", "Q")
    assert (said.code, said.out) == (2, "")
    assert "/timezone" in said.err
    assert "/default_region" in said.err
    nothing = await control.tell("businesses", "set", "1")
    assert (nothing.code, nothing.out) == (2, "")
    assert "name what is to be changed" in nothing.err
    missing = await control.tell("businesses", "set", "9", "--limit", "1")
    assert (missing.code, missing.out) == (1, "")


async def test_a_key_is_shown_once_opens_its_business_and_is_revoked(control: Control) -> None:
    business = str(await control.house.business())
    made = await control.done("keys", "create", business, "CRM")
    token = made.out.removesuffix("\n")
    assert len(token.split()) == 1
    assert token not in made.err
    assert "not shown again" in made.err
    assert (await control.tell("runs", "list", token=token)).code == 0

    reader = json.loads((await control.done("keys", "create", business, "x", "--role", "read_only", "--json")).out)
    refused = await control.tell("runs", "stop", "1", token=reader["token"])
    assert (refused.code, "may only read" in refused.err) == (1, True)

    listed = await control.done("keys", "list", business)
    assert token not in listed.out
    assert [row[1:3] for row in rows(listed)] == [["CRM", "member"], ["x", "read_only"]]
    assert [key["name"] for key in await control.json("keys", "list", business)] == ["CRM", "x"]

    revoked = await control.done("keys", "revoke", "1")
    assert (revoked.out, revoked.err) == ("", "key 1 is revoked\n")
    denied = await control.tell("runs", "list", token=token)
    assert (denied.code, denied.out) == (1, "")
    assert "DIALER_TOKEN" in denied.err
    assert token not in denied.err


@pytest.mark.parametrize(
    "command",
    [
        ["businesses", "list"],
        ["businesses", "add", "x"],
        ["businesses", "set", "1", "--limit", "9"],
        ["keys", "list", "1"],
    ],
)
async def test_a_business_key_may_not(control: Control, command: list[str]) -> None:
    key = await control.house.key(await control.house.business())
    said = await control.tell(*command, token=key)
    assert (said.code, said.out) == (1, "")
    assert "only the operator" in said.err
