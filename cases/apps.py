"""App configuration of cases."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CasesConfig(AppConfig):
    """Cases, scans and everything that keeps them private."""

    name = "cases"
    verbose_name = _("Cases and scans")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receiver that removes files after their row is gone; say what people may take away."""
        from accounts.notices import NOTICE_TEXTS
        from cases import private_folders, receivers, rights

        receivers.connect()
        private_folders.declare_own()
        rights.register()
        NOTICE_TEXTS["second_reading_asked"] = _("A doctor asks you to read a scan as second reader.")
        NOTICE_TEXTS["share_opened"] = _("Somebody opened the link to one of your cases for the first time.")
        NOTICE_TEXTS["share_locked"] = _("A link to one of your cases was locked after too many wrong PINs.")
        NOTICE_TEXTS["follow_up_due"] = _("The day of one of your reminders has come.")
