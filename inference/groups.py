"""What the groups of the curation desk may do with danger rules: curators write them, publishers put them in
force.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

from resources.groups import CURATOR, PUBLISHER

PERMISSIONS: dict[str, set[str]] = {
    CURATOR: {"view_dangerruleset", "add_dangerruleset", "change_dangerruleset"},
    PUBLISHER: {"view_dangerruleset", "activate_dangerruleset"},
}


def ensure_permissions(sender: Any = None, **kwargs: Any) -> None:
    """Gives both groups their permissions; what an administrator added to them stays."""
    create_permissions(sender or apps.get_app_config("inference"), verbosity=0)
    for name, codenames in PERMISSIONS.items():
        group, _created = Group.objects.get_or_create(name=name)
        wanted = Permission.objects.filter(content_type__app_label="inference", codename__in=codenames)
        group.permissions.add(*wanted)
