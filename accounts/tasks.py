"""Background work about people: thin."""

from accounts import care, job_tasks, notices  # noqa: F401  (Celery finds all tasks)
from pmi_site.tasks import pmi_task


@pmi_task(queue="default", time_limit=60)
def mail_notice(notice_id: str) -> None:
    """Mails a person that there is something new."""
    notices.mail(notice_id)


@pmi_task(queue="default", time_limit=60)
def deliver_invitation(invitation_id: str) -> None:
    """Tells whoever an invitation is for."""
    care.deliver(invitation_id)
