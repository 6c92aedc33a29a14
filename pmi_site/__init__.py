"""The PMI site: settings, the address book of URLs and the few helpers every app may use."""

from pmi_site.celery import app as celery_app

__all__ = ["celery_app"]
