from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from simulator.signing import signature, signed_url

TOKEN = "12345"
# The example of the carrier's documentation on validating its requests.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675310",
    "Digits": "1234",
    "From": "+14158675310",
    "To": "+18005551212",
}


def test_documented_example() -> None:
    assert signature(TOKEN, URL, FIELDS) == RequestValidator(TOKEN).compute_signature(URL, FIELDS)
    assert RequestValidator(TOKEN).validate(URL, FIELDS, signature(TOKEN, URL, FIELDS))


def test_a_changed_value_is_noticed() -> None:
    signed = signature(TOKEN, URL, FIELDS)
    assert not RequestValidator(TOKEN).validate(URL, {**FIELDS, "To": "+18005551213"}, signed)
    assert signature("another", URL, FIELDS) != signed


def test_ports_and_fragment() -> None:
    assert signed_url("https://host.example:8443/a?b=c#rc=5") == "https://host.example/a?b=c"
    assert signed_url("http://host.example:8080/a?b=c#rc=5") == "http://host.example:8080/a?b=c"
    assert signed_url("https://[::1]:8443/a") == "https://[::1]/a"


@given(
    st.dictionaries(st.text("abcXYZ09_", min_size=1), st.text(max_size=20), max_size=8),
    st.sampled_from(["https://a.example/x", "http://127.0.0.1:8080/webhook/call_status?attempt=7"]),
)
def test_always_as_the_sdk_computes_it(fields: dict[str, str], url: str) -> None:
    assert signature(TOKEN, url, fields) == RequestValidator(TOKEN).compute_signature(url, fields)
