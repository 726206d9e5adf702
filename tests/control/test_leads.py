"""Reading calling lists: no server, no database."""

import contextlib
import csv
import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.document.payloads import LONGEST_VARIABLES, MOST_LEADS
from control.lists import collector, json_in_steps, leads, sent_lists
from control.lists.json_in_steps import LONGEST_VALUE, TooLarge
from control.lists.leads import CHARACTERS_IN_A_PIECE, LEADS_IN_A_PIECE, CallingList
from control.lists.phones import e164
from control.lists.sent_lists import Unreadable

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
        assert _whole(json_in_steps.decode(f" {text}\n", "leads")) == data
        assert json_in_steps.decode(text) == data


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
        assert _whole(json_in_steps.decode(broken, "leads")) == expected


def test_every_value_is_read_up_to_a_length_and_none_beyond_another() -> None:
    """One as long as a body may be would stop every thread while it is decoded, and not only once."""
    longest = "x" * (LONGEST_VALUE - 2)
    whole = {"a": longest, "leads": [longest, 1, *[longest] * 4, {"b": 2}], "c": longest, "d": [3]}
    assert _whole(json_in_steps.decode(json.dumps(whole), "leads")) == whole
    too_large: list[Any] = [{"leads": [1, longest * 2]}, {"a": longest * 2}, {"a": [[]] * LONGEST_VALUE}, [whole]]
    for data in too_large:
        with pytest.raises(TooLarge):
            json_in_steps.decode(json.dumps(data), "leads")
    with pytest.raises(TooLarge):
        json_in_steps.decode(json.dumps({str(n): n for n in range(20_000)}))
    with pytest.raises(Unreadable) as refused:
        sent_lists.from_json(json.dumps({"a": longest * 2}).encode())
    assert refused.value.code == "invalid_json"


def _whole(decoded: Any) -> Any:
    """With the leads as a list, as they are each time that one goes through them."""
    if not isinstance(decoded, dict) or not isinstance(decoded.get("leads"), json_in_steps.Elements):
        return decoded
    elements = decoded["leads"]
    assert list(elements) == list(elements)
    assert len(elements) == len(list(elements))
    return {**decoded, "leads": list(elements)}


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
    assert _accepted(result) == [
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


def _accepted(result: CallingList) -> list[tuple[str | None, ...]]:
    return [tuple(lead) for piece in result.accepted.pieces() for lead in piece]


def test_a_list_of_many_pieces_keeps_its_order_and_its_texts() -> None:
    names = [None, "", "דנה", 'a "quoted"\n\ttext\\', "\x1f\u2028\U0001f4de"]
    count = 2 * LEADS_IN_A_PIECE + 7
    raw = [
        {"phone": f"+12125{n:06}", "lead_id": n, "name": names[n % 5], "variables": {"n": n} if n % 3 else None}
        for n in range(count)
    ]
    result = leads.calling_list(raw + raw[:3], None)
    assert (len(result.accepted), result.duplicates, result.rejected) == (count, 3, [])
    assert _accepted(result) == [
        (lead["phone"], str(lead["lead_id"]), lead["name"], json.dumps(lead["variables"]) if n % 3 else None)
        for n, lead in enumerate(raw)
    ]


def test_of_long_leads_fewer_are_read_at_once() -> None:
    """The pieces are read in the event loop: their size is not the sender's to choose."""
    longest = {"note": "x" * (LONGEST_VARIABLES - len('{"note": ""}'))}
    result = leads.calling_list(({"phone": f"+12125{n:06}", "variables": longest} for n in range(100)), None)
    sizes = [sum(len(lead[3] or "") for lead in piece) for piece in result.accepted.pieces()]
    assert sum(sizes) == len(result.accepted) * LONGEST_VARIABLES == 100 * LONGEST_VARIABLES
    assert max(sizes) <= CHARACTERS_IN_A_PIECE + LONGEST_VARIABLES


def test_nesting_is_refused_at_first_or_not_at_all() -> None:
    """Whatever depth the interpreter bears: what was read once is read again."""
    for depth in range(sys.getrecursionlimit() - 150, sys.getrecursionlimit() + 10):
        body = b'{"leads": [{"phone": "+12125550100", "variables": {"a": %b%b}}]}' % (b"[" * depth, b"]" * depth)
        with contextlib.suppress(Unreadable):
            leads.calling_list(sent_lists.from_json(body)["leads"], None)


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
    rows = sent_lists.from_csv(body, charset)
    assert len(rows) == 2
    for _ in range(2):
        assert list(rows) == [
            {"phone": "+972501234567", "lead_id": "7", "name": "דנה", "variables": {"city": 'Haifa, "Carmel"'}},
            {"phone": "+972501234568", "variables": {"city": ""}},
        ]


CELL = st.text(st.sampled_from('ab ,;\t"\r\n\u2028\x85\x1c\x00אé\U0001f4de'), max_size=6)


@given(st.lists(st.lists(CELL, max_size=3), max_size=5), st.booleans())
def test_csv_is_read_line_by_line_as_it_is_read_whole(table: list[list[str]], quoted: bool) -> None:
    """Lines end where csv says, not where other texts may end them; in steps of the decoder or in one."""
    text = "phone,note\n" + "".join(
        ",".join(f'"{c.replace(chr(34), chr(34) * 2)}"' if quoted else c for c in row) + "\r\n" for row in table
    )
    padded = text + "x" * 8180 + ",y\r\n" + "".join(f"{n}\r" for n in range(9)) + text.partition("\n")[2]
    for whole in (text, padded):
        try:
            expected = [row for row in csv.reader(io.StringIO(whole, newline=""), strict=True) if row][1:]
        except csv.Error:
            with pytest.raises(Unreadable):
                sent_lists.from_csv(whole.encode(), None)
            continue
        rows = [
            (lead.get("phone", ""), lead["variables"].get("note", ""))
            for lead in sent_lists.from_csv(whole.encode(), None)
        ]
        assert rows == [(row[0], row[1] if len(row) > 1 else "") for row in expected]


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "no_phone_column", "/line/1"),
        (b"name,city\nx,y\n", "no_phone_column", "/line/1"),
        ("phone\nדנה".encode("cp1255"), "invalid_encoding", ""),
        (b'phone,name\n+972501234567,"Dana\n+972501234568,Noa\n', "invalid_csv", "/line/3"),
        (b"phone\n" + b"1" * 200_000, "invalid_csv", "/line/2"),
        (b"phone\n1\n" + b"," * (LONGEST_VALUE + 1), "invalid_csv", "/line/3"),
    ],
)
def test_csv_that_cannot_be_read(body: bytes, code: str, pointer: str) -> None:
    with pytest.raises(Unreadable) as refused:
        sent_lists.from_csv(body, None)
    assert (refused.value.code, refused.value.fault.pointer) == (code, pointer)


def test_more_than_a_list_may_have_is_refused_before_it_is_read() -> None:
    for read in (
        lambda: sent_lists.from_csv(b"phone\n" + b"1\n" * (MOST_LEADS + 1), None),
        lambda: sent_lists.from_json(b'{"leads": [' + b"1," * MOST_LEADS + b"this is not read any more"),
    ):
        with collector.held_off(), pytest.raises(Unreadable) as refused:
            read()
        assert refused.value.fault.pointer == "/leads"
    with collector.held_off():
        assert len(sent_lists.from_json(b'{"leads": [' + b"1," * (MOST_LEADS - 1) + b"1]}")["leads"]) == MOST_LEADS


@pytest.mark.parametrize("charset", ["base64", "punycode", "no\x00ne", "nonsense"])
def test_charsets_that_are_none(charset: str) -> None:
    with pytest.raises(Unreadable) as refused:
        sent_lists.from_csv("phone\nדנה-".encode(), charset)
    assert refused.value.code == "invalid_encoding"
