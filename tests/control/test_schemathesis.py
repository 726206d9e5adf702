"""schemathesis, with all of its checks, against the description: as the operator, as a business, as a stranger."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.control.house import OPERATOR, House

HERE = Path(__file__).parent
# Some twenty seconds on an idle machine, all of them together.
WITHIN_SECONDS = 200.0
pytestmark = pytest.mark.timeout(240)

# Of a handler with several paths one is gone through at length; what is the operator's is 403 for others, all of it.
ALIASES = "^/api/outbound_calls/(start|jobs/.run_id)"
OPERATORS = "^/api/(businesses|keys)"
PUBLIC = "^/(webhook|livez|readyz|metrics|docs|api/health|api/openapi)"
BRIEFLY = ("-n", "2", "--phases", "fuzzing")


async def _found(
    house: House, directory: Path, token: str | None, *options: str, document: str = "/api/openapi.json"
) -> str:
    """What the process says at its end. It must have found nothing."""
    url = str(house.client.make_url("")).rstrip("/")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", url + document if document.startswith("/api") else document, "--url", url),
        *("--checks", "all", "--seed", "7", "--no-color"),
        *("--request-timeout", "20", "--suppress-health-check", "all", "--warnings", "off"),
        *(("-H", f"Authorization: Bearer {token}") if token else ()),
        *options,
        cwd=directory,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), WITHIN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode()
    assert process.returncode == 0, text
    return text


def _tested(said: str) -> int:
    found = re.search(r"Tested: (\d+)", said)
    assert found, said
    return int(found[1])


async def test_the_operator_finds_nothing(house: House, tmp_path: Path) -> None:
    said = await _found(house, tmp_path, OPERATOR, "-n", "5", "--include-path-regex", OPERATORS)
    assert _tested(said) == 7
    said = await _found(house, tmp_path, OPERATOR, *BRIEFLY, "--exclude-path-regex", f"{OPERATORS}|{PUBLIC}")
    assert _tested(said) > 20
    # It got past the refusals.
    assert await house.pool.fetchval("SELECT count(*) FROM businesses") > 1


async def test_a_business_finds_nothing(house: House, tmp_path: Path) -> None:
    token = await house.key(await house.business())
    others = f"{OPERATORS}|{PUBLIC}|{ALIASES}"
    said = await _found(house, tmp_path, token, "-n", "5", "--exclude-path-regex", others)
    assert _tested(said) > 15
    said = await _found(house, tmp_path, token, *BRIEFLY, "--include-path-regex", f"{OPERATORS}|{ALIASES}")
    assert _tested(said) > 10
    # It got past the refusals: runs were started, and ended.
    statuses = await house.pool.fetch("SELECT DISTINCT status FROM outbound_call_runs")
    assert {row["status"] for row in statuses} >= {"pending", "cancelled"}


async def test_a_stranger_finds_nothing(house: House, tmp_path: Path) -> None:
    assert _tested(await _found(house, tmp_path, None, *BRIEFLY)) > 35
    assert _tested(await _found(house, tmp_path, None, "-n", "4", "--include-path-regex", PUBLIC)) > 8
    assert await house.pool.fetchval("SELECT count(*) FROM businesses") == 0
    assert await house.pool.fetchval("SELECT count(*) FROM orphan_callbacks") == 0


async def test_what_is_wrong_is_found(house: House, tmp_path: Path) -> None:
    """The net has no hole: a description that says something else than is answered does not pass."""
    document = (await house.ask("GET", "/api/openapi.json", None)).data
    document["components"]["schemas"]["Alive"]["required"].append("missing")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    with pytest.raises(AssertionError, match="missing"):
        await _found(house, tmp_path, None, "-n", "1", "--include-path", "/livez", document=str(wrong))
