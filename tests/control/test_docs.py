"""/docs: a page of our own, in which nothing runs but what is ours."""

import base64
import hashlib
import re

from tests.control.house import House


async def test_the_page_brings_everything_along(house: House) -> None:
    answer = await house.ask("GET", "/docs", None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    # No address of anybody: what it reads is named relative to itself.
    assert not re.search(r"(?:https?:)?//[\w.]", answer.text.replace("// ", ""))
    assert not re.search(r"\s(?:src|on\w+|style)=", answer.text)
    assert "api/openapi.json" in answer.text


async def test_the_policy_lets_our_style_and_script_run_and_nothing_else(house: House) -> None:
    answer = await house.ask("GET", "/docs", None)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.+?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_script_puts_in_text_never_html(house: House) -> None:
    script = (await house.ask("GET", "/docs", None)).text.partition("<script>")[2]
    assert "createElement" in script
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in script
