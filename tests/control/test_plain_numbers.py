"""What is read quickly is what phonenumbers would have made of it: no server, no database."""

import random
from collections.abc import Iterator

import phonenumbers
import pytest
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneNumberFormat, PhoneNumberType

from control.lists.phones import thoroughly
from control.lists.plain_numbers import plain

FORMATS = (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL)


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("+972501234567", None, "+972501234567"),
        ("+1 (212) 555-0100", "IL", "+12125550100"),
        ("050-123-4567", "IL", "+972501234567"),
        ("(212) 555.0100", "US", "+12125550100"),
        ("0612345678", "FR", "+33612345678"),
    ],
)
def test_what_most_lists_have_is_plain(written: str, region: str | None, number: str) -> None:
    assert plain(written, region) == number


def test_whatever_is_plain_is_what_phonenumbers_says() -> None:
    """Of every region and country code: numbers as people write them, some digits of them changed, and chance."""
    chance = random.Random(97250)
    found = 0
    for written, region in (*_in_full(chance), *_at_home(chance), *_examples(chance)):
        number = plain(written, region)
        if number is not None:
            found += 1
            assert number == thoroughly(written, region), (written, region)
    assert found > 3_000


def _digits(chance: random.Random, least: int, most: int) -> str:
    return "".join(chance.choices("0123456789", k=chance.randint(least, most)))


def _in_full(chance: random.Random) -> Iterator[tuple[str, str | None]]:
    regions = (None, *sorted(SUPPORTED_REGIONS))
    for code in [*COUNTRY_CODE_TO_REGION_CODE, 0, 999]:
        for _ in range(25):
            yield f"+{code}{_digits(chance, 4, 13)}", chance.choice(regions)


def _at_home(chance: random.Random) -> Iterator[tuple[str, str | None]]:
    for region in sorted(SUPPORTED_REGIONS):
        code = str(phonenumbers.country_code_for_region(region))
        dialed = phonenumbers.ndd_prefix_for_region(region, True) or ""
        for before in ("", dialed, code, "0", "00", code + dialed):
            for _ in range(6):
                yield f"{before}{_digits(chance, 4, 11)}", region


def _examples(chance: random.Random) -> Iterator[tuple[str, str | None]]:
    for region in sorted(SUPPORTED_REGIONS):
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            for written_as in FORMATS:
                written = phonenumbers.format_number(example, written_as)
                yield written, region
                at = chance.randrange(len(written))
                yield written[:at] + chance.choice("0123456789 -().") + written[at + 1 :], region
