"""Choosing which version reads: promoting one, and going back to the one before."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from inference import bundle_places, services
from inference.models import ModelUse, ModelVersion
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from accounts.models import User


def active_of(kind: str) -> ModelVersion | None:
    """The version that reads a kind now."""
    return ModelVersion.objects.filter(kind=kind, is_active=True).first()


def previous_of(version: ModelVersion) -> ModelVersion | None:
    """What to go back to from an active version: the one that it replaced when it was last promoted."""
    use = version.uses.filter(what=ModelUse.What.PROMOTED).select_related("replaced").first()
    return use.replaced if use else None


def history(kind: str) -> QuerySet[ModelUse]:
    """Who decided what about the versions of a kind, newest first."""
    return ModelUse.objects.filter(model_version__kind=kind).select_related("model_version", "replaced", "by")


def has_read(version: ModelVersion) -> bool:
    """Whether it ever read a scan for a patient."""
    return version.analyses.exists()


def check_files(version: ModelVersion) -> bundle_places.OnDisk:
    """Verifies every file of a version now, and keeps what was found."""
    found = bundle_places.look(version)
    ModelVersion.objects.filter(pk=version.pk).update(
        checked_at=timezone.now(), problem="" if found.state == "there" else _kept(found)
    )
    return found


def _kept(found: bundle_places.OnDisk) -> str:
    return f"{found.state}: {found.problem}"[:200]


def promote(version: ModelVersion, by: User | None, replaces: uuid.UUID | None) -> None:
    """Lets a version read its kind from now on, in place of the one that the administrator saw reading.

    Raises UserError ``missing`` or ``corrupt`` for its files, ``uncovered`` for a label without words, and
    ``changed_meanwhile`` where another version reads than was seen.
    """
    _require_files(version)
    _switch(version, by, ModelUse.What.PROMOTED, replaces)


def roll_back(active: ModelVersion, by: User | None) -> ModelVersion:
    """Lets the version before read again, in one step, and returns it. Raises UserError as `promote` does,
    and ``nothing_before``.
    """
    before = previous_of(active)
    if before is None:
        raise UserError("nothing_before", _("There is no version before this one to go back to."))
    _require_files(before)
    _switch(before, by, ModelUse.What.ROLLED_BACK, active.pk)
    return before


def _require_files(version: ModelVersion) -> None:
    found = check_files(version)
    if found.state != "there":
        raise UserError(
            found.state,
            _("%(version)s cannot be used: %(problem)s") % {"version": version, "problem": found.problem},
        )


def _switch(version: ModelVersion, by: User | None, what: str, replaces: uuid.UUID | None) -> None:
    changed = services.activate(
        version, by, what=what, only_if=lambda active: (active.pk if active else None) == replaces
    )
    if not changed:
        raise UserError(
            "changed_meanwhile",
            _("Another version reads now than the one you saw. Nothing was changed. Please look again."),
        )
