"""App configuration of the site itself."""

from django.apps import AppConfig


class PmiSiteConfig(AppConfig):
    """Registers the start-up checks."""

    name = "pmi_site"
    verbose_name = "PMI"

    def ready(self) -> None:
        from pmi_site import checks  # noqa: F401  (importing registers the checks)
