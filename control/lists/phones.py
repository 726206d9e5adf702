"""Phone numbers as people write them, to E.164."""

import phonenumbers
from phonenumbers import (
    CountryCodeSource,
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    ValidationResult,
)

from control.lists.plain_numbers import plain


def e164(written: str, region: str | None) -> str | None:
    """The number in E.164, or None when it is none; one that is not in full gets the country code of `region`.

    A possible length is enough: the carrier knows better than any table which ranges are in use today.
    """
    return plain(written, region) or thoroughly(written, region)


def thoroughly(written: str, region: str | None) -> str | None:
    """The same for whatever people write, in 20 to 50 us."""
    number = _parsed(written, region)
    if number is not None and number.country_code_source == CountryCodeSource.FROM_DEFAULT_COUNTRY:
        number = _without_plus(number) or number
    if number is None or not _is_possible(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def is_region(code: str) -> bool:
    """Whether this is a country of the numbering plan, in two letters."""
    return code in phonenumbers.SUPPORTED_REGIONS


def _without_plus(number: PhoneNumber) -> PhoneNumber | None:
    """What was meant, when it was in full but for the plus, as spreadsheets leave it: 972501234567."""
    digits = str(number.national_number)
    if not digits.startswith(str(number.country_code)) or phonenumbers.is_valid_number(number):
        return None
    meant = _parsed(f"+{digits}", None)
    return meant if meant is not None and _is_possible(meant) else None


def _is_possible(number: PhoneNumber) -> bool:
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return False
    # In few countries a number starts with 0; elsewhere it is a cell full of zeros.
    return not number.italian_leading_zero or phonenumbers.is_valid_number(number)


def _parsed(written: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(written, region, keep_raw_input=True)
    except NumberParseException:
        return None
