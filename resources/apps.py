"""The knowledge base: from a finding to treatments, advice and places to get help."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ResourcesConfig(AppConfig):
    name = "resources"
    verbose_name = _("Knowledge base")
