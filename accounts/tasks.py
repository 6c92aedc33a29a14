"""Background work about people: thin."""

from accounts import job_tasks  # noqa: F401  (Celery finds all tasks)
