"""Background work about people: thin."""

from accounts import job_tasks, notices  # noqa: F401  (Celery finds all tasks)
from pmi_site.tasks import pmi_task


@pmi_task(queue="default", time_limit=60)
def mail_notice(notice_id: str) -> None:
    """Mails a person that there is something new."""
    notices.mail(notice_id)
