"""Answers to the symptom checklist as a case keeps them: {code: true | false | number}.

A code that is missing was not answered, which is never a no. What the codes mean is known to the apps above;
they hand the check of an answer in with `use_check`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

Check = Callable[[Mapping[str, Any]], str]
_checks: list[Check] = []


def use_check(check: Check) -> None:
    """Check answers with this function from now on; it says what is wrong, or nothing."""
    _checks[:] = [check]


def problem_with(answers: Any) -> str:
    """What is wrong with the answers, or an empty string."""
    if not isinstance(answers, dict) or len(answers) > 100:
        return _("Symptoms are an object: symptom code to true, false or a number.")
    return next((found for check in _checks if (found := check(answers))), "")
