"""The care relationship: inviting, asking, answering, ending. Who may read what is in `accounts.selectors`.

Who asks is never told whether somebody has an account with the address: asking looks nobody up, the worker
that delivers it does. Every answer is a compare-and-swap on the open invitation, so that one code, one yes
and one taking back have one winner. Locks are always taken in the same order: invitations, then grants.
"""

import functools
import logging
import secrets
from datetime import timedelta
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.models import CareInvitation, CareRelationship, Role, User
from accounts.notices import tell
from accounts.services import log_access
from accounts.who_looked import case_names
from pmi_site.errors import TooManyTries, UserError
from pmi_site.misses import Misses

logger = logging.getLogger(__name__)

WAITS = timedelta(days=14)
CODE_WAITS = timedelta(hours=24)
REDELIVER_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 20
LONGEST_DAYS = 3650
MOST_WAITING = 20
MOST_A_DAY = 30
ASK_AGAIN_AFTER = timedelta(days=30)
# No 0, 1, I, L, O and U: nothing that is misread. There are 30 ** 8 codes; with 10 wrong ones in a quarter of
# an hour, a doctor who guesses finds one of a thousand open codes in some 1,800 years.
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 8
_wrong_codes = Misses("care-code", most=10, seconds=900)
_Way, _State = CareInvitation.Way, CareInvitation.State


# --- asking -------------------------------------------------------------------------------------------------


def invite_by_email(
    patient: User, email: str, *, case_id: UUID | None = None, access_days: int | None = None
) -> CareInvitation:
    """Invite the verified doctor with this address, whoever that is; the invitation waits for `WAITS`.

    `case_id` limits it to one case, `access_days` ends the access so long after the doctor's yes. Raises
    UserError for an impossible wish and where the same invitation waits already, PermissionDenied for
    anybody who is not a patient.
    """
    _check_wish(patient, case_id, access_days)
    email = email.strip().lower()
    if email in selectors.addresses_of(patient) | {patient.email}:
        raise UserError("own_address", _("This is your own address. Please enter your doctor's."))
    same = CareInvitation.objects.waiting().filter(way=_Way.EMAIL, patient=patient, email=email)
    if same.filter(case=case_id).exists():
        raise UserError(
            "invited_already", _("You have invited this address already. The invitation is still waiting.")
        )
    _check_number(patient=patient)
    with transaction.atomic():
        invitation = CareInvitation.objects.create(
            way=_Way.EMAIL,
            patient=patient,
            email=email,
            case_id=case_id,
            access_days=access_days,
            expires_at=timezone.now() + WAITS,
        )
        log_access(patient, "invite_doctor", invitation)
        _deliver_on_commit(invitation)
    return invitation


def make_code(
    patient: User, *, case_id: UUID | None = None, access_days: int | None = None
) -> tuple[CareInvitation, str]:
    """A code for one doctor, once, within `CODE_WAITS`. It is returned to be shown now and never again.

    Raises as `invite_by_email`.
    """
    _check_wish(patient, case_id, access_days)
    _check_number(patient=patient)
    code = "".join(secrets.choice(CODE_LETTERS) for _letter in range(CODE_LENGTH))
    with transaction.atomic():
        invitation = CareInvitation.objects.create(
            way=_Way.CODE,
            patient=patient,
            code_digest=CareInvitation.digest_of(code),
            case_id=case_id,
            access_days=access_days,
            expires_at=timezone.now() + CODE_WAITS,
        )
        log_access(patient, "invite_doctor", invitation)
    return invitation, f"{code[:4]}-{code[4:]}"


def request_access(doctor: User, email: str) -> CareInvitation:
    """Ask the patient with this address, whoever that is. What to open, and for how long, is theirs to say.

    Raises UserError while the doctor's last request to the address waits, and for `ASK_AGAIN_AFTER` after a
    no; PermissionDenied for anybody who is not a verified doctor.
    """
    _check_doctor(doctor)
    email = email.strip().lower()
    if email in selectors.addresses_of(doctor) | {doctor.email}:
        raise UserError("own_address", _("This is your own address. Please enter your patient's."))
    mine = CareInvitation.objects.filter(way=_Way.REQUEST, doctor=doctor, email=email)
    if mine.waiting().exists():
        raise UserError(
            "asked_already", _("You have asked at this address already. The request is still waiting.")
        )
    if mine.filter(state=_State.DECLINED, answered_at__gt=timezone.now() - ASK_AGAIN_AFTER).exists():
        raise UserError("declined", _("The answer was no. Please wait before you ask again."))
    _check_number(doctor=doctor)
    with transaction.atomic():
        invitation = CareInvitation.objects.create(
            way=_Way.REQUEST, doctor=doctor, email=email, expires_at=timezone.now() + WAITS
        )
        log_access(doctor, "request_access", invitation)
        _deliver_on_commit(invitation)
    return invitation


def cancel(asker: User, invitation_id: UUID) -> bool:
    """Take back what one asked; False when there is nothing of the asker's that still waits."""
    found = selectors.invitations_by(asker).filter(pk=invitation_id).first()
    if found is None:
        return False
    with transaction.atomic():
        changed = _close(invitation_id, _State.CANCELLED)
        if changed:
            log_access(asker, "cancel_invitation", found)
    return changed


# --- delivering ---------------------------------------------------------------------------------------------


def _deliver_on_commit(invitation: CareInvitation) -> None:
    from accounts.tasks import deliver_invitation

    send = functools.partial(deliver_invitation.delay, str(invitation.pk))
    transaction.on_commit(send, robust=True)


def deliver(invitation_id: UUID | str) -> bool:
    """Tell whoever an invitation is for, once: a notice where they can answer it, else a mail that names
    nobody.

    False when it no longer waits, or they were told. A worker calls this.
    """
    try:
        # Held while it is sent: two workers with the same message send one mail, and a killed one lets go.
        with transaction.atomic():
            held = CareInvitation.objects.to_deliver().select_for_update(of=("self",), skip_locked=True)
            invitation = held.filter(pk=invitation_id).first()
            if invitation is None:
                return False
            _tell(invitation)
            CareInvitation.objects.filter(pk=invitation.pk).update(delivered_at=timezone.now())
    except Exception:
        # How long it has been tried says when the next try is (see `_redeliver`).
        CareInvitation.objects.filter(pk=invitation_id).update(updated_at=timezone.now())
        raise
    return True


def _tell(invitation: CareInvitation) -> None:
    account = User.objects.filter(
        is_active=True, emailaddress__email__iexact=invitation.email, emailaddress__verified=True
    ).first()
    if account is not None and invitation.way == _Way.EMAIL and selectors.is_verified_doctor(account):
        tell(account.pk, "care_invited", reverse("accounts:patients"))
    elif account is not None and invitation.way == _Way.REQUEST and account.role == Role.PATIENT:
        tell(account.pk, "care_requested", reverse("accounts:sharing"))
    else:
        # Who asks and who is asked mostly speak the same language; of a stranger nothing else is known.
        asking = invitation.patient if invitation.way == _Way.EMAIL else invitation.doctor
        reader = account or asking
        with translation.override(reader.language if reader else settings.LANGUAGE_CODE):
            _mail_stranger(invitation)


def _redeliver() -> None:
    """Deliver what a full queue, a broker or a mail server kept back: again after 5, 10, 20 ... minutes."""
    now = timezone.now()
    kept_back = (
        CareInvitation.objects.to_deliver()
        .annotate(tried_for=F("updated_at") - F("created_at"))
        .filter(updated_at__lt=now - REDELIVER_AFTER, tried_for__lte=now - F("updated_at"))
    )
    for pk in list(kept_back.order_by("updated_at").values_list("pk", flat=True)[:MOST_AT_ONCE]):
        try:
            deliver(pk)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            # An address that takes no mail must not keep the others waiting.
            logger.error("Invitation %s could not be delivered: %s", pk, type(error).__name__)


def _mail_stranger(invitation: CareInvitation) -> None:
    if invitation.way == _Way.EMAIL:
        asked = _("Somebody who uses PMI invites you, as their doctor, to look at something there.")
        todo = _("To answer, sign in to PMI with this address, or sign up as a doctor.")
    else:
        asked = _("A doctor who uses PMI asks you for something there.")
        todo = _("To answer, sign in to PMI with this address, or sign up as a patient.")
    body = "\n\n".join(
        (
            asked,
            todo,
            settings.PMI_PUBLIC_URL + reverse("account_login"),
            _("For your privacy this mail does not say who it is or what it is about."),
            _("If this is not for you, do nothing. It ends by itself, and nobody learns that you got it."),
        )
    )
    send_mail(_("An invitation to PMI"), body, settings.DEFAULT_FROM_EMAIL, [invitation.email])


# --- answering ----------------------------------------------------------------------------------------------


def accept_invitation(doctor: User, invitation_id: UUID) -> CareRelationship | None:
    """Say yes to an invitation by email; None when there is none that waits for this doctor."""
    found = selectors.invitations_to(doctor).filter(pk=invitation_id).first()
    return _accept(found, doctor, "care_accepted") if found is not None else None


def decline_invitation(doctor: User, invitation_id: UUID) -> bool:
    """Say no to an invitation by email; False when there is none that waits for this doctor."""
    found = selectors.invitations_to(doctor).filter(pk=invitation_id).first()
    if found is None:
        return False
    with transaction.atomic():
        changed = _close(found.pk, _State.DECLINED, doctor=doctor)
        if changed and found.patient_id is not None:
            log_access(doctor, "decline_invitation", found)
            tell(found.patient_id, "care_declined", reverse("accounts:sharing"))
    return changed


def use_code(doctor: User, code: str) -> CareRelationship:
    """Use a patient's code; the grant that it gave. The same doctor may enter it twice (a double click).

    Raises UserError in the same words for a mistyped, used, expired and taken back code, TooManyTries after
    too many of them, PermissionDenied for anybody who is not a verified doctor.
    """
    _check_doctor(doctor)
    if _wrong_codes.too_many(str(doctor.pk)):
        raise TooManyTries(
            "too_many_codes", _("Too many codes that do not work. Wait a quarter of an hour, then try again.")
        )
    letters = "".join(code.upper().replace("-", " ").split())
    found = (
        CareInvitation.objects.filter(
            way=_Way.CODE, code_digest=CareInvitation.digest_of(letters), patient__is_active=True
        )
        .exclude(patient=doctor)
        .select_related("patient", "grant")
        .first()
    )
    grant = _accept(found, doctor, "care_code_used") if found is not None and found.is_waiting else None
    if grant is None and found is not None:
        found.refresh_from_db()
        if found.doctor_id == doctor.pk and found.grant is not None and found.grant.is_active:
            return found.grant
    if grant is None:
        _wrong_codes.note(str(doctor.pk))
        raise UserError(
            "bad_code",
            _("This code does not work. It may be mistyped, used, too old or taken back. Ask for a new one."),
        )
    return grant


def accept_request(
    patient: User, invitation_id: UUID, *, case_id: UUID | None = None, access_days: int | None = None
) -> CareRelationship | None:
    """Say yes to a doctor, for all cases or one, for good or for some days; None when no such request waits.

    Raises UserError for an impossible wish.
    """
    _check_wish(patient, case_id, access_days)
    found = selectors.requests_to(patient).filter(pk=invitation_id).first()
    if found is None or found.doctor is None:
        return None
    with transaction.atomic():
        wish = {"case_id": case_id, "access_days": access_days}
        if not _close(found.pk, _State.ACCEPTED, patient=patient, **wish):
            return None
        grant = _let_read(patient.pk, found.doctor, case_id, access_days)
        CareInvitation.objects.filter(pk=found.pk).update(grant=grant)
        log_access(patient, "grant_access", found.doctor, patient_id=patient.pk)
        tell(found.doctor.pk, "care_request_accepted", reverse("accounts:patients"))
    return grant


def accepted_before(
    user: User, invitation_id: UUID, case_id: UUID | None = None, access_days: int | None = None
) -> CareRelationship | None:
    """The grant that this person's yes gave, while it holds: for who says it again since the answer was lost.
    What a patient opened with it has to be the same.
    """
    mine = CareInvitation.objects.filter(pk=invitation_id, state=_State.ACCEPTED)
    if user.role == Role.DOCTOR:
        mine = mine.filter(way=_Way.EMAIL, doctor=user)
        return selectors.patients_of(user).filter(invitations__in=mine).first()
    mine = mine.filter(way=_Way.REQUEST, patient=user, case=case_id, access_days=access_days)
    return selectors.grants_of(user).filter(invitations__in=mine).first()


def decline_request(patient: User, invitation_id: UUID) -> bool:
    """Say no to a doctor; False when no such request waits."""
    found = selectors.requests_to(patient).filter(pk=invitation_id).first()
    if found is None or found.doctor is None:
        return False
    with transaction.atomic():
        changed = _close(found.pk, _State.DECLINED, patient=patient)
        if changed:
            log_access(patient, "decline_request", found.doctor, patient_id=patient.pk)
            tell(found.doctor.pk, "care_request_declined", reverse("accounts:patients"))
    return changed


def _accept(invitation: CareInvitation, doctor: User, kind: str) -> CareRelationship | None:
    """The doctor's yes; None when the invitation was answered, taken back or too old at that moment."""
    if invitation.patient_id is None:
        return None
    with transaction.atomic():
        if not _close(invitation.pk, _State.ACCEPTED, doctor=doctor):
            return None
        grant = _let_read(invitation.patient_id, doctor, invitation.case_id, invitation.access_days)
        CareInvitation.objects.filter(pk=invitation.pk).update(grant=grant)
        log_access(doctor, "accept_invitation", grant)
        tell(invitation.patient_id, kind, reverse("accounts:sharing"))
    return grant


def _close(invitation_id: UUID, state: str, **values: object) -> bool:
    """Compare and swap: the first answer counts. Looks at columns of this one table only, because a
    condition on another table would be judged by what it was before a rival's answer.
    """
    now = timezone.now()
    waiting = CareInvitation.objects.waiting().filter(pk=invitation_id)
    return bool(waiting.update(state=state, answered_at=now, updated_at=now, **values))


def _let_read(
    patient_id: UUID, doctor: User, case_id: UUID | None, access_days: int | None
) -> CareRelationship:
    """Open a grant. One of the same scope that holds is kept and ends as was said last."""
    now = timezone.now()
    ends = now + timedelta(days=access_days) if access_days else None
    held = CareRelationship.objects.filter(
        patient=patient_id, doctor=doctor, case=case_id, is_emergency=False, revoked_at__isnull=True
    )
    # An expired grant still counts as open to the database; closed, it makes room for a new one.
    held.filter(expires_at__lte=now).update(revoked_at=now, updated_at=now)
    for _attempt in range(3):
        if held.update(expires_at=ends, updated_at=now):
            return held.get()
        try:
            with transaction.atomic():
                return CareRelationship.objects.create(
                    patient_id=patient_id, doctor=doctor, case_id=case_id, expires_at=ends
                )
        except IntegrityError:
            # Two invitations accepted at the same moment: the other one made it.
            continue
    raise UserError("try_again", _("Something else changed at the same moment. Please try again."))


# --- ending -------------------------------------------------------------------------------------------------


def revoke_access(patient: User, grant_id: UUID) -> bool:
    """End a grant at once; False when the patient has no such open grant.

    What the patient still had out to this doctor in the same scope is taken back too, so that ended is ended.
    """
    grant = (
        CareRelationship.objects.filter(pk=grant_id, patient=patient, revoked_at__isnull=True)
        .select_related("doctor")
        .first()
    )
    if grant is None:
        return False
    with transaction.atomic():
        if not grant.is_emergency:
            _take_back_others(grant)
        changed = _end(grant)
        if changed:
            action = "end_emergency_access" if grant.is_emergency else "revoke_access"
            log_access(patient, action, grant.doctor, patient_id=patient.pk)
            tell(grant.doctor_id, "care_ended", reverse("accounts:patients"))
    return changed


def give_back(doctor: User, grant_id: UUID) -> bool:
    """A doctor ends a grant of their own; False when they hold no such grant."""
    grant = CareRelationship.objects.active().filter(pk=grant_id, doctor=doctor).first()
    if grant is None:
        return False
    with transaction.atomic():
        # Its time is over too: one that only the patient ended may not be taken again within it
        # (see `emergency.open_access`).
        changed = _end(grant, expires_at=timezone.now())
        if changed:
            log_access(doctor, "give_access_back", doctor, patient_id=grant.patient_id)
            tell(grant.patient_id, "care_given_back", reverse("accounts:sharing"))
    return changed


def _end(grant: CareRelationship, **values: object) -> bool:
    now = timezone.now()
    still_open = CareRelationship.objects.filter(pk=grant.pk, revoked_at__isnull=True)
    return bool(still_open.update(revoked_at=now, updated_at=now, **values))


def _take_back_others(grant: CareRelationship) -> None:
    now = timezone.now()
    waiting = CareInvitation.objects.waiting().filter(
        way=_Way.EMAIL, patient=grant.patient_id, email__in=selectors.addresses_of(grant.doctor)
    )
    if grant.case_id is not None:
        waiting = waiting.filter(case=grant.case_id)
    waiting.update(state=_State.CANCELLED, answered_at=now, updated_at=now)


def sweep() -> int:
    """Deliver what was kept back, and forget the addresses of what nobody accepted, a while after it ended;
    how many were forgotten.
    """
    _redeliver()
    over = CareInvitation.objects.filter(expires_at__lt=timezone.now() - selectors.SHOWN_FOR)
    forgotten, _rows = over.exclude(state=_State.ACCEPTED).delete()
    return forgotten


# --- checks -------------------------------------------------------------------------------------------------


def _check_doctor(doctor: User) -> None:
    if not selectors.is_verified_doctor(doctor):
        raise PermissionDenied(_("Only doctors whose licence is verified can do this."))


def _check_wish(patient: User, case_id: UUID | None, access_days: int | None) -> None:
    if not patient.is_active or patient.role != Role.PATIENT:
        raise PermissionDenied(_("Only patients share their scans."))
    if case_id is not None and case_id not in case_names(patient):
        raise UserError("no_such_case", _("There is no such case. It may have been deleted."))
    if access_days is not None and not 1 <= access_days <= LONGEST_DAYS:
        raise UserError("bad_days", _("Access can last from 1 day to 10 years, or until you end it."))


def _check_number(**asker: User) -> None:
    """A person, or a stolen account, cannot send mail to the whole town."""
    mine = CareInvitation.objects.filter(**asker)
    today = mine.filter(created_at__gt=timezone.now() - timedelta(days=1))
    if mine.waiting().count() >= MOST_WAITING or today.count() >= MOST_A_DAY:
        raise TooManyTries(
            "too_many_invitations",
            _("Many of yours are still waiting. Take some back, or try again tomorrow."),
        )
