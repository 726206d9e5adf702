"""The signature check gives the verdicts of the carrier's own SDK."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from control.carrier.signature import Verifier

# The vectors of the SDK's own tests.
TOKEN = "12345"
FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
PATH = "/myapp.php?foo=1&bar=2"
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("base", ["https://mycompany.com", "https://mycompany.com:443", "https://mycompany.com/"])
def test_the_known_vector(base: str) -> None:
    verifier = Verifier(TOKEN, base)
    assert verifier.accepts(PATH, FORM, SIGNATURE)
    assert verifier.accepts(PATH, reversed(FORM), SIGNATURE)


@pytest.mark.parametrize("signature", [None, "", "nonsense", "\udcff", SIGNATURE.lower(), SIGNATURE + "="])
def test_anything_else_is_refused(signature: str | None) -> None:
    assert not Verifier(TOKEN, "https://mycompany.com").accepts(PATH, FORM, signature)


def test_every_part_is_signed() -> None:
    verifier = Verifier(TOKEN, "https://mycompany.com")
    assert not verifier.accepts(PATH + "3", FORM, SIGNATURE)
    assert not verifier.accepts(PATH, FORM[:-1], SIGNATURE)
    assert not verifier.accepts(PATH, [*FORM, ("Extra", "1")], SIGNATURE)
    assert not Verifier("54321", "https://mycompany.com").accepts(PATH, FORM, SIGNATURE)
    assert not Verifier(TOKEN, "http://mycompany.com").accepts(PATH, FORM, SIGNATURE)


BASES = st.sampled_from(
    [
        "https://a.example",
        "https://a.example:8443",
        "http://a.example",
        "http://127.0.0.1:8080",
        "https://a.example/x",
    ]
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FORMS = st.lists(st.tuples(WORDS, WORDS), max_size=6)


@given(base=BASES, form=FORMS, token=st.text("ab0", min_size=1, max_size=4))
def test_what_the_sdk_signs_is_accepted(base: str, form: list[tuple[str, str]], token: str) -> None:
    sent = parse_qsl(urlencode(form), keep_blank_values=True)
    url = base + "/webhook/call_status?attempt=%D7%90"
    signature = RequestValidator(token).compute_signature(url, MultiDict(sent))
    assert Verifier(token, base).accepts("/webhook/call_status?attempt=%D7%90", sent, signature)


@given(base=BASES, form=FORMS, other=FORMS, signed_base=BASES)
def test_the_verdict_is_always_that_of_the_sdk(
    base: str, form: list[tuple[str, str]], other: list[tuple[str, str]], signed_base: str
) -> None:
    sdk = RequestValidator("token")
    signature = sdk.compute_signature(signed_base + "/p?q=1", MultiDict(other))
    theirs = sdk.validate(base + "/p?q=1", MultiDict(form), signature)
    assert Verifier("token", base).accepts("/p?q=1", form, signature) is theirs
