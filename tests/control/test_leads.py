"""Reading calling lists: no server, no database."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control import collector, json_in_steps, leads
from control.leads import Unreadable
from control.payloads import MOST_LEADS
from control.phones import e164

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, st.sampled_from([None, 0, 3]))
def test_json_in_steps_is_json(value: Any, lead: Any, indent: int | None) -> None:
    whole = {"a": value, "leads": [value, lead], "b": lead}
    for data in (value, whole, {"leads": value}, [whole]):
        text = json.dumps(data, indent=indent)
        assert json_in_steps.decode(f" {text}\n", "leads") == data


@given(JSON, st.integers(0, 200), st.sampled_from(["", ",", "]", "}", '"', "x", ":", "[", "{"]))
def test_json_in_steps_refuses_what_json_refuses(value: Any, at: int, junk: str) -> None:
    text = json.dumps({"leads": [value, value], "b": value})
    broken = text[:at] + junk + text[at + 1 :]
    try:
        expected = json.loads(
            broken, parse_constant=json_in_steps._no_number, object_pairs_hook=json_in_steps._named_once
        )
    except ValueError:
        with pytest.raises(ValueError):
            json_in_steps.decode(broken, "leads")
    else:
        assert json_in_steps.decode(broken, "leads") == expected


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("+972501234567", None, "+972501234567"),
        ("\u200e+972 (50) 123-4567\u202c", None, "+972501234567"),
        ("050-123-4567", "IL", "+972501234567"),
        ("972501234567", "IL", "+972501234567"),
        ("00972501234567", "IL", "+972501234567"),
        ("+15005550001", None, "+15005550001"),
        ("+15551234567", "IL", "+15551234567"),
        ("050-123-4567", None, None),
        ("0000000000", "IL", None),
        ("0212345678", "IT", "+390212345678"),
        ("09-7212345", "IL", "+97297212345"),
        ("+97250", "IL", None),
        ("+999501234567", "IL", None),
        ("5551234", "US", None),
        ("100", "IL", None),
        ("nobody", "IL", None),
        ("", "IL", None),
        ("+1" * 200, "IL", None),
    ],
)
def test_numbers(written: str, region: str | None, number: str | None) -> None:
    assert e164(written, region) == number


def test_every_lead_is_accounted_for_by_position() -> None:
    raw = [
        {"phone": "050-123-4567", "lead_id": 2502, "name": "Dana", "variables": {"city": "חיפה"}},
        "no object",
        {"name": "no phone"},
        {"phone": "  "},
        {"phone": "+97250"},
        {"phone": 972501234568},
        {"phone": "+972501234567"},
        {"phone": "+972501234568", "name": "a\x00b"},
        {"phone": "+972501234568", "variables": {"a": ["\ud800"]}},
        {"phone": "+972501234568", "variables": {"a": float("inf")}},
        {"phone": "+972501234568", "variables": []},
        {"phone": "+972501234568", "name": 7},
        {"phone": "+972501234568", "variables": {}, "unknown": 1, "lead_id": 2503.0},
    ]
    result = leads.calling_list(raw, "IL")
    assert [tuple(lead) for lead in result.accepted] == [
        ("+972501234567", "2502", "Dana", '{"city": "חיפה"}'),
        ("+972501234568", "2503", None, None),
    ]
    assert result.duplicates == 1
    assert [(bad.index, bad.code) for bad in result.rejected] == [
        (1, "invalid_lead"),
        (2, "missing_phone"),
        (3, "missing_phone"),
        (4, "invalid_phone"),
        (5, "invalid_phone"),
        (7, "invalid_lead"),
        (8, "invalid_lead"),
        (9, "invalid_lead"),
        (10, "invalid_lead"),
        (11, "invalid_lead"),
    ]


TABLE = 'Phone,lead_id, city ,name\r\n+972501234567,7,"Haifa, ""Carmel""",דנה\r\n\r\n+972501234568,,,\r\n'


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (TABLE.encode(), None),
        (b"\xef\xbb\xbf" + TABLE.encode(), None),
        (TABLE.replace("\r\n", "\n").encode(), None),
        (TABLE.encode("utf-16"), None),
        (TABLE.encode("cp1255"), "windows-1255"),
        (TABLE.replace("a, ", "a# ").replace(",", ";").replace("a# ", "a, ").encode(), None),
        (TABLE.replace("a, ", "a# ").replace(",", "\t").replace("a# ", "a, ").encode(), None),
    ],
)
def test_csv_as_people_have_it(body: bytes, charset: str | None) -> None:
    assert leads.from_csv(body, charset) == [
        {"phone": "+972501234567", "lead_id": "7", "name": "דנה", "variables": {"city": 'Haifa, "Carmel"'}},
        {"phone": "+972501234568", "variables": {"city": ""}},
    ]


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "no_phone_column", "/line/1"),
        (b"name,city\nx,y\n", "no_phone_column", "/line/1"),
        ("phone\nדנה".encode("cp1255"), "invalid_encoding", ""),
        (b'phone,name\n+972501234567,"Dana\n+972501234568,Noa\n', "invalid_csv", "/line/3"),
        (b"phone\n" + b"1" * 200_000, "invalid_csv", "/line/2"),
    ],
)
def test_csv_that_cannot_be_read(body: bytes, code: str, pointer: str) -> None:
    with pytest.raises(Unreadable) as refused:
        leads.from_csv(body, None)
    assert (refused.value.code, refused.value.fault.pointer) == (code, pointer)


def test_more_than_a_list_may_have_is_refused_before_it_is_read() -> None:
    for read in (
        lambda: leads.from_csv(b"phone\n" + b"1\n" * (MOST_LEADS + 1), None),
        lambda: leads.from_json(b'{"leads": [' + b"1," * MOST_LEADS + b"this is not read any more"),
    ):
        with collector.held_off(), pytest.raises(Unreadable) as refused:
            read()
        assert refused.value.fault.pointer == "/leads"
    with collector.held_off():
        assert len(leads.from_json(b'{"leads": [' + b"1," * (MOST_LEADS - 1) + b"1]}")["leads"]) == MOST_LEADS


@pytest.mark.parametrize("charset", ["base64", "punycode", "no\x00ne", "nonsense"])
def test_charsets_that_are_none(charset: str) -> None:
    with pytest.raises(Unreadable) as refused:
        leads.from_csv("phone\nדנה-".encode(), charset)
    assert refused.value.code == "invalid_encoding"
