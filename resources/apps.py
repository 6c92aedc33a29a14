"""The knowledge base: from a finding to treatments, advice and places to get help."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ResourcesConfig(AppConfig):
    name = "resources"
    verbose_name = _("Knowledge base")

    def ready(self) -> None:
        from accounts.portable import keep, keep_ids
        from resources import search  # noqa: F401  (its signals keep the search documents)
        from resources.groups import ensure_groups

        for field in ("author", "published_by"):
            keep(f"resources.Revision.{field}", "which curator it was is emptied")
        # Who wrote a text may not publish it, also under a later version of it.
        keep_ids("resources.Revision.writer_ids", "numbers of writers, who may not publish; they name nobody")
        keep("resources.Revision.object_id", "an entry of the knowledge base, never a person")
        post_migrate.connect(ensure_groups, sender=self, dispatch_uid="resources.groups")
