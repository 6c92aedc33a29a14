"""References of this app and of foreign ones that outlive an account on purpose, each with its reason."""

from uuid import UUID

from accounts.portable import keep, register_eraser

_LOG = "a random key or number: names nobody once the account is gone"
_TOOL = "Django's and other tools' tables: emptied by accounts.erasure where they name the person"


def declare() -> None:
    """Called once, when the apps are ready."""
    for field in ("actor_key", "patient_key", "object_id", "case_id"):
        keep(f"accounts.AccessLog.{field}", _LOG)
    register_eraser("invitations", _forget_address)
    keep("accounts.User.log_key", "goes with the row of the account")
    keep("accounts.DoctorProfile.verified_by", "which administrator checked a licence is emptied")
    for field in ("admin.LogEntry.object_id",):
        keep(field, _TOOL)


def _forget_address(user_id: UUID) -> None:
    """Invitations name people by their address before they name them by an account."""
    from accounts.models import CareInvitation, User

    for address in User.objects.filter(pk=user_id).values_list("email", flat=True):
        CareInvitation.objects.filter(email=address).delete()
