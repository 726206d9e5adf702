"""The numbers that most lists have, read in a microsecond: what phonenumbers makes of them, or no answer.

phonenumbers reads whatever people write, and takes 20 to 50 us for each. A number of nothing but digits, in full or as
its own country writes it, goes through few of its rules, and these are here, on its own tables. Wherever another of
them might have a say, no answer is given.
"""

import re
from dataclasses import dataclass
from functools import cache

from phonenumbers import PhoneMetadata, region_code_for_country_code

LONGEST_COUNTRY_CODE = 3
# What stands between groups of digits here never means anything to phonenumbers.
_grouped = re.compile(r"[+(]?[0-9][0-9 ().-]{4,25}[0-9]").fullmatch
_UNGROUPED = str.maketrans("", "", " ().-")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a number must be to be plain in one numbering plan. `lengths`: of numbers in full without country code."""

    code: str
    lengths: frozenset[int]
    prefix: re.Pattern[str] | None  # what is dialed before the number within the country
    rewrites: bool  # the prefix is more than dropped
    shape: re.Pattern[str]  # of any number
    abroad: re.Pattern[str]  # what is dialed before numbers in full


def plain(written: str, region: str | None) -> str | None:
    """The number in E.164, if it is a plain one; one without plus is of `region`. None says nothing about it."""
    if not _grouped(written):
        return None
    digits = written.translate(_UNGROUPED)
    if digits[0] == "+":
        return _in_full(digits)
    return _national(digits, region) if region else None


def _in_full(number: str) -> str | None:
    for end in range(2, LONGEST_COUNTRY_CODE + 2):
        plan = _plan_of_code(number[1:end])
        if plan is not None:
            rest = number[end:]
            prefixed = plan.prefix is not None and plan.prefix.match(rest)
            return None if prefixed or not _is_possible(plan, rest) else number
    return None


def _national(digits: str, region: str) -> str | None:
    plan = _plan_of_region(region)
    if plan is None or digits.startswith(plan.code) or plan.abroad.match(digits):
        return None
    number = digits
    if plan.prefix is not None and (prefix := plan.prefix.match(digits)):
        number = digits[prefix.end() :]
        # Without it, it must be a number for certain, else it may have been part of one.
        if plan.rewrites or not plan.shape.fullmatch(number):
            return None
    if number.startswith(plan.code) or not _is_possible(plan, number):
        return None
    whole = _plan_of_code(plan.code)
    return f"+{plan.code}{number}" if whole is not None and len(number) in whole.lengths else None


def _is_possible(plan: Plan, number: str) -> bool:
    return len(number) in plan.lengths and number[0] != "0"


@cache
def _plan_of_code(code: str) -> Plan | None:
    if not code or code[0] == "0":
        return None
    number = int(code)
    return _plan(PhoneMetadata.metadata_for_region_or_calling_code(number, region_code_for_country_code(number)))


@cache
def _plan_of_region(region: str) -> Plan | None:
    return _plan(PhoneMetadata.metadata_for_region(region, None))


def _plan(metadata: PhoneMetadata | None) -> Plan | None:
    if metadata is None or metadata.general_desc is None:
        return None
    general = metadata.general_desc
    if not general.national_number_pattern:
        return None
    prefix = re.compile(metadata.national_prefix_for_parsing) if metadata.national_prefix_for_parsing else None
    return Plan(
        code=str(metadata.country_code),
        lengths=frozenset(general.possible_length) - frozenset(general.possible_length_local_only),
        prefix=prefix,
        rewrites=bool(prefix and (prefix.groups or metadata.national_prefix_transform_rule)),
        shape=re.compile(general.national_number_pattern),
        # What never matches, where nothing is dialed.
        abroad=re.compile(metadata.international_prefix or r"(?!)"),
    )
