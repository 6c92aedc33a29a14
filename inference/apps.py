"""Application configuration of `inference`."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class InferenceConfig(AppConfig):
    """Connects the receivers and the system checks; loads no model and no machine learning library."""

    name = "inference"
    verbose_name = _("Readings")

    def ready(self) -> None:
        from accounts.notices import NOTICE_TEXTS
        from cases.symptoms import use_check
        from inference import checks, explained, receivers, rights  # noqa: F401  (importing registers two)
        from inference.groups import ensure_permissions
        from inference.private_folders import declare_own
        from resources import coverage
        from resources.symptoms import problem_with

        rights.register()
        declare_own()
        use_check(problem_with)
        coverage.provide_labels(explained.labels_in_use)
        NOTICE_TEXTS["reading_ready"] = _("A reading of one of your scans is ready.")
        NOTICE_TEXTS["reading_held"] = _("One of your scans was read. A doctor looks at it first.")
        NOTICE_TEXTS["reading_released"] = _("A doctor has looked at one of your scans. You can see it now.")
        NOTICE_TEXTS["review_amended"] = _("A doctor changed what they wrote about one of your scans.")
        NOTICE_TEXTS["readers_differ"] = _("Another doctor read one of your patients' scans in another way.")
        NOTICE_TEXTS["review_signed"] = _("A doctor has looked at one of your scans and signed a review.")
        post_migrate.connect(ensure_permissions, sender=self, dispatch_uid="inference.groups")
