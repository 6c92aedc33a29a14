"""System checks: the setting for what patients see, and active models: is the bundle whole, and does the
knowledge base explain every label?

Those of models need the database, so they run where a command asks for it (`migrate`, `check --database
default`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections


@register(Tags.security)
def check_release(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """When patients see readings must not hang on a misspelt word."""
    from inference.release import POLICIES

    if settings.PMI_RELEASE in POLICIES:
        return []
    return [
        Error(
            f"PMI_RELEASE is {settings.PMI_RELEASE!r}, which means nothing. Until it is put right, patients "
            "see a reading only after a doctor has signed a review of it.",
            hint=f"Set it to one of: {', '.join(POLICIES)}.",
            id="inference.E001",
        )
    ]


@register(Tags.database)
def check_active_bundles(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warns of an active model version whose bundle is missing or corrupt, or whose labels nothing
    explains.
    """
    if not databases or "default" not in databases:
        return []
    from inference import bundle_places
    from inference.models import ModelVersion

    try:
        if ModelVersion._meta.db_table not in connections["default"].introspection.table_names():
            return []
        active = list(ModelVersion.objects.filter(is_active=True))
    except DatabaseError:
        return []  # not migrated so far, or no database: not this check's business
    found: list[CheckMessage] = []
    for version in active:
        on_disk = bundle_places.look(version)
        if on_disk.state == "missing":
            found.append(
                Warning(
                    f"The active model {version.kind} {version.version} has no whole bundle: "
                    f"{on_disk.problem}.",
                    hint="Restore the bundle folder, or activate another version in the admin.",
                    id="inference.W001",
                )
            )
        elif on_disk.state == "corrupt":
            found.append(
                Warning(
                    f"The bundle of the active model {version.kind} {version.version} is corrupt: "
                    f"{on_disk.problem}.",
                    hint="Restore the bundle from its source; it is never used as it is.",
                    id="inference.W002",
                )
            )
    return [*found, *_unexplained_labels(active)]


@register(Tags.database)
def check_rules_in_force(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warns of questions whose answers mean nothing to the danger rules in force: rules of one's own know
    none that came with a later version of PMI.
    """
    if not databases or "default" not in databases:
        return []
    from inference import assessing
    from inference.models import DangerRuleSet
    from resources.symptoms import catalogue

    try:
        if DangerRuleSet._meta.db_table not in connections["default"].introspection.table_names():
            return []
        rules = assessing.active_rules()
    except DatabaseError:
        return []
    used = {fact for rule in rules.symptom_rules for fact in rule.symptoms}
    unused = [fact for fact in catalogue().by_fact() if fact not in used]
    if not unused:
        return []
    return [
        Warning(
            f"The danger rules in force ({rules.version}) say nothing of these answers: {', '.join(unused)}.",
            hint="Begin a draft of the rules in the admin and add what the shipped rules say of them.",
            id="inference.W004",
        )
    ]


def _unexplained_labels(active: Sequence[Any]) -> list[CheckMessage]:
    from inference import explained

    found: list[CheckMessage] = []
    for version in active:
        try:
            holes = explained.holes(version)
        except DatabaseError:
            return found
        if holes:
            found.append(
                Warning(
                    f"The knowledge base does not explain all that {version.kind} {version.version} can "
                    f"report. Missing: {'; '.join(holes)}.",
                    hint="Run `python manage.py load_knowledge_base`, or fill the holes in the admin.",
                    id="inference.W003",
                )
            )
    return found
