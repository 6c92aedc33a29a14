"""References of this app and of foreign ones that outlive an account on purpose, each with its reason."""

import json
from pathlib import Path
from uuid import UUID

from allauth.account.models import EmailAddress
from django.core.serializers.json import DjangoJSONEncoder

from accounts import selectors
from accounts.models import CareInvitation, User
from accounts.portable import keep, register_eraser, register_exporter

_LOG = "a random key or number: names nobody once the account is gone"
_TOOL = "Django's and other tools' tables: emptied by accounts.erasure where they name the person"


def declare() -> None:
    """Called once, when the apps are ready."""
    for field in ("actor_key", "patient_key", "object_id", "case_id"):
        keep(f"accounts.AccessLog.{field}", _LOG)
    register_eraser("invitations", _forget_address, _addresses_left)
    register_exporter("invitations", _export_invitations)
    keep("accounts.User.log_key", "goes with the row of the account")
    keep("accounts.DoctorProfile.verified_by", "which administrator checked a licence is emptied")
    keep("accounts.DoctorProfile.declined_by", "which administrator declined a licence is emptied")
    for field in ("admin.LogEntry.object_id",):
        keep(field, _TOOL)


def _forget_address(user_id: UUID) -> None:
    """Invitations name people by their address before they name them by an account."""
    CareInvitation.objects.filter(email__in=_addresses(user_id)).delete()


def _addresses_left(user_id: UUID) -> list[str]:
    count = CareInvitation.objects.filter(email__in=_addresses(user_id)).count()
    return [f"{count} invitations name the address"] if count else []


def _addresses(user_id: UUID) -> set[str]:
    found = set(User.objects.filter(pk=user_id).values_list("email", flat=True))
    found.update(EmailAddress.objects.filter(user=user_id).values_list("email", flat=True))
    return {address.lower() for address in found}


def _export_invitations(user: User, folder: Path) -> None:
    """What waits for the person's answer hangs on their address, not on their account."""
    waiting = selectors.invitations_to(user) | selectors.requests_to(user)
    found = [
        {
            "way": row.way,
            # Doctors act under their name; a patient's belongs to the patient.
            "from": row.doctor.full_name if row.doctor is not None else "a patient",
            "asked_at": row.created_at,
            "waits_until": row.expires_at,
        }
        for row in CareInvitation.objects.filter(pk__in=waiting.values("pk")).select_related("doctor")
    ]
    if found:
        text = json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        (folder / "waiting.json").write_text(text + "\n", encoding="utf-8")
