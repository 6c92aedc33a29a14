"""Nothing that a model can report may go unexplained: which labels does the knowledge base not cover?"""

from __future__ import annotations

from django.utils.translation import gettext as _

from inference.models import ModelVersion
from pmi_site.errors import UserError
from resources import coverage


def labels_of(version: ModelVersion) -> list[coverage.Label]:
    """What a version can report; nothing for the gate, whose answers never reach a reader as findings."""
    if version.kind == "gate":
        return []
    labels = version.metadata.get("labels", [])
    return [
        coverage.Label(
            f"{version.kind} {version.version}", str(label["name"]), str(label.get("condition") or "")
        )
        for label in labels
        if isinstance(label, dict)
    ]


def labels_in_use() -> list[coverage.Label]:
    """What all active versions can report."""
    active = ModelVersion.objects.filter(is_active=True).order_by("kind")
    return [label for version in active for label in labels_of(version)]


def holes(version: ModelVersion) -> list[str]:
    """One line per label that the knowledge base does not fully explain."""
    return coverage.uncovered(labels_of(version))


def require(version: ModelVersion) -> None:
    """Raises UserError("uncovered") where a label has a hole."""
    found = holes(version)
    if found:
        raise UserError(
            "uncovered",
            _("%(model)s cannot be used: the knowledge base does not explain all it can report: %(holes)s")
            % {"model": version, "holes": "; ".join(found)},
        )
