"""The two groups of the curation desk. Members also need "may use the admin"; nobody need be a superuser."""

from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission

CURATOR = "Curator"
PUBLISHER = "Publisher"
_WRITTEN = ("condition", "treatment", "advice", "resource", "translation")
PERMISSIONS: dict[str, set[str]] = {
    CURATOR: {
        *(f"{act}_{name}" for act in ("view", "add", "change") for name in (*_WRITTEN, "source")),
        "view_revision",
        "view_linkcheck",
    },
    PUBLISHER: {
        *(f"view_{name}" for name in (*_WRITTEN, "source")),
        "view_revision",
        "publish_revision",
        "view_linkcheck",
    },
}


def ensure_groups(sender: Any = None, **kwargs: Any) -> None:
    """Make both groups and give them their permissions; what an administrator added to them stays."""
    # Django's own receiver comes after this one where `auth` stands below in INSTALLED_APPS.
    create_permissions(sender or apps.get_app_config("resources"), verbosity=0)
    for name, codenames in PERMISSIONS.items():
        group, _created = Group.objects.get_or_create(name=name)
        wanted = Permission.objects.filter(content_type__app_label="resources", codename__in=codenames)
        group.permissions.add(*wanted)
