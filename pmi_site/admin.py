"""What every app's admin pages share, and the queue's own results."""

from typing import Any

# Registered here first, so that they can be taken out below.
import django_celery_results.admin
from django.contrib import admin
from django.http import HttpRequest
from django_celery_results.models import GroupResult, TaskResult


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Look, don't touch."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# No task of PMI belongs to a group.
admin.site.unregister([GroupResult, TaskResult])


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin, django_celery_results.admin.TaskResultAdmin):
    """Workers write results; one written by hand would only mislead."""
