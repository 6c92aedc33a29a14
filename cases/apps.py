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
        from cases import receivers, rights

        receivers.connect()
        rights.register()
