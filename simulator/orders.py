"""Reads a create request: an order that can be placed, or the carrier's refusal."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from multidict import MultiMapping

from simulator.calls import Order
from simulator.refusals import Refusal

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_OTHER_ADDRESS = re.compile(r"(sip|sips|client|sim):\S+")
_TWIML_LIMIT = 4000
_STATUS_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
_RECORDING_EVENTS = frozenset({"in-progress", "completed", "absent"})

_MAGIC_TO = {
    "+15005550001": Refusal(400, 21217, "The phone number does not appear to be valid."),
    "+15005550002": Refusal(400, 21214, "The 'To' phone number cannot be reached."),
    "+15005550003": Refusal(400, 21215, "The account may not call numbers in this country."),
    "+15005550004": Refusal(400, 21216, "The account is not allowed to call this number."),
}
_MAGIC_FROM = {"+15005550001": Refusal(400, 21212, "The 'From' number is not a valid phone number.")}

NOT_VALID_TO = Refusal(400, 21211, "The 'To' number is not a valid phone number.")

Form = MultiMapping[object]


def read_order(form: Form) -> Order | Refusal:
    """The order in a posted form, or why it is refused (the first fault found, as the carrier does)."""
    texts = {key: value for key, value in form.items() if isinstance(value, str)}
    return _fault_in(form, texts) or _order(form, texts)


def _fault_in(form: Form, texts: dict[str, str]) -> Refusal | None:
    checks = (
        _fault_in_numbers(texts),
        _fault_in_instructions(texts),
        _fault_in_range(texts, "Timeout", 1, 600, 21208),
        _fault_in_range(texts, "TimeLimit", 1, 86_400, 21208),
        _fault_in_methods(texts),
        _fault_in_callbacks(form, texts),
        _fault_in_detection(texts),
    )
    return next((fault for fault in checks if fault), None)


def _fault_in_numbers(texts: dict[str, str]) -> Refusal | None:
    to, from_number = texts.get("To", ""), texts.get("From", "")
    if not to:
        return Refusal(400, 21201, "No 'To' number is specified.")
    if not from_number:
        return Refusal(400, 21213, "A 'From' number is required to make a call.")
    if fault := _MAGIC_TO.get(to) or _MAGIC_FROM.get(from_number):
        return fault
    if not (_E164.fullmatch(to) or _OTHER_ADDRESS.fullmatch(to)):
        return NOT_VALID_TO
    if not (_E164.fullmatch(from_number) or from_number.startswith("client:")):
        return Refusal(400, 21212, "The 'From' number is not a valid phone number.")
    return None


def _fault_in_instructions(texts: dict[str, str]) -> Refusal | None:
    url, twiml = texts.get("Url"), texts.get("Twiml")
    if twiml is not None and len(twiml) > _TWIML_LIMIT:
        return Refusal(400, 21205, f"Twiml may have {_TWIML_LIMIT} characters at most.")
    if not (url or twiml or texts.get("ApplicationSid")):
        return Refusal(400, 21205, "A Url, Twiml or ApplicationSid is required.")
    if url and not twiml and not _is_web_url(url):
        return Refusal(400, 21205, "The Url is not a valid URL.")
    return None


def _fault_in_range(texts: dict[str, str], key: str, low: int, high: int, code: int) -> Refusal | None:
    value = texts.get(key)
    if value is None or (value.isdecimal() and low <= int(value) <= high):
        return None
    return Refusal(400, code, f"{key} must be a number from {low} to {high}.")


def _fault_in_methods(texts: dict[str, str]) -> Refusal | None:
    for key in ("Method", "StatusCallbackMethod", "RecordingStatusCallbackMethod"):
        if texts.get(key, "POST").upper() not in ("GET", "POST"):
            return Refusal(400, 21209, f"{key} must be GET or POST.")
    return None


def _fault_in_callbacks(form: Form, texts: dict[str, str]) -> Refusal | None:
    for key in ("StatusCallback", "RecordingStatusCallback", "AsyncAmdStatusCallback"):
        if key in texts and not _is_web_url(texts[key]):
            return Refusal(400, 21609, f"The {key} is not a valid URL.")
    for key, known in (
        ("StatusCallbackEvent", _STATUS_EVENTS),
        ("RecordingStatusCallbackEvent", _RECORDING_EVENTS),
    ):
        # A joined "initiated ringing" is one unknown word here. The carrier only warns and then sends
        # next to nothing; refusing it lets the mistake be found.
        if not set(_texts(form.getall(key, []))) <= known:
            return Refusal(400, 21626, f"A {key} is none of the known events.")
    return None


def _fault_in_detection(texts: dict[str, str]) -> Refusal | None:
    if texts.get("MachineDetection", "Enable") in ("Enable", "DetectMessageEnd"):
        return None
    return Refusal(400, 21207, "MachineDetection must be Enable or DetectMessageEnd.")


def _order(form: Form, texts: dict[str, str]) -> Order:
    return Order(
        to=texts["To"],
        from_number=texts["From"],
        timeout_seconds=int(texts.get("Timeout", "60")),
        time_limit_seconds=int(texts.get("TimeLimit", "14400")),
        parameters=tuple((key, value) for key, value in form.items() if isinstance(value, str)),
        url=None if texts.get("Twiml") else texts.get("Url"),
        method=texts.get("Method", "POST").upper(),
        status_callback=texts.get("StatusCallback"),
        status_callback_method=texts.get("StatusCallbackMethod", "POST").upper(),
        status_events=frozenset(_texts(form.getall("StatusCallbackEvent", ["completed"]))),
        record=texts.get("Record") == "true",
        recording_channels=texts.get("RecordingChannels", "mono"),
        recording_callback=texts.get("RecordingStatusCallback"),
        recording_callback_method=texts.get("RecordingStatusCallbackMethod", "POST").upper(),
        recording_events=frozenset(_texts(form.getall("RecordingStatusCallbackEvent", ["completed"]))),
        machine_detection=texts.get("MachineDetection"),
        async_amd=texts.get("AsyncAmd") == "true",
        amd_callback=texts.get("AsyncAmdStatusCallback"),
        amd_callback_method=texts.get("AsyncAmdStatusCallbackMethod", "POST").upper(),
        attempt=attempt_in(form),
    )


def attempt_in(form: Form) -> str | None:
    """The caller's id of the attempt: the query parameter `attempt` of a callback URL in the form."""
    for key in ("StatusCallback", "Url"):
        url = form.get(key)
        if isinstance(url, str) and "attempt=" in url:
            return parse_qs(url.partition("#")[0].partition("?")[2]).get("attempt", [None])[0]
    return None


def _texts(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
