"""Whether a reading is shown to somebody: decided here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.models import Analysis

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


def released_to(user: User | AnonymousUser, analysis: Analysis) -> bool:
    """Whether somebody who may see the scan also sees this reading of it."""
    return user.is_authenticated
