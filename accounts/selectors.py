"""Every read about people: who may see whom."""

from datetime import timedelta
from uuid import UUID

from allauth.account.models import EmailAddress
from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import ApiToken, CareInvitation, CareRelationship, Role, User

# How long an answer to an invitation, or that there was none, stays on the page of whoever asked.
SHOWN_FOR = timedelta(days=30)


def is_verified_doctor(user: User | AnonymousUser) -> bool:
    """Whether this is an active doctor whose licence an administrator has checked."""
    if not isinstance(user, User) or not user.is_active or user.role != Role.DOCTOR:
        return False
    return User.objects.filter(pk=user.pk, doctor_profile__verified_at__isnull=False).exists()


def visible_patient_ids(user: User | AnonymousUser) -> QuerySet[User, UUID]:
    """Ids of the people *all* of whose medical data `user` may read, as a subquery-ready query set.

    Oneself always; a verified doctor also the patients whose grant for all cases holds now, while their
    account is open. Grants for one case are not in here: to read cases or anything in them use `case_access`.
    An administrator's account is for running the site and sees nobody, not even itself.
    """
    if not isinstance(user, User) or not user.is_active or user.role == Role.ADMIN:
        return User.objects.none().values_list("pk", flat=True)
    visible = User.objects.filter(pk=user.pk)
    if is_verified_doctor(user):
        held = CareRelationship.objects.active().filter(patient__is_active=True)
        granted = held.filter(doctor=user, case__isnull=True).values("patient")
        visible = visible | User.objects.filter(pk__in=granted)
    return visible.values_list("pk", flat=True)


def case_access(user: User | AnonymousUser, prefix: str = "") -> Q:
    """The condition under which `user` may read a case: the one rule that every read of medical data uses.

    | who                                                     | reads                  |
    |---------------------------------------------------------|------------------------|
    | the patient                                             | their own cases        |
    | verified doctor with a grant that holds, for all cases  | all of that patient's  |
    | verified doctor with a grant that holds, for one case   | that case              |
    | administrators, unverified doctors, everybody else      | nothing                |

    A grant sleeps while the patient's account is closed, whoever closed it: they could not take it back.

    `prefix` leads from the model that is filtered to its case: "" for Case itself, "case__" for a scan,
    "scan__case__" for what hangs on a scan. The condition asks the grants each time a query runs, so ending
    a grant works with the next request.
    """
    if not isinstance(user, User) or not user.is_active or user.role == Role.ADMIN:
        return Q(pk__in=())
    own = Q(**{f"{prefix}patient": user.pk})
    if user.role != Role.DOCTOR:
        return own
    # One question for both: is the licence checked, and has this doctor been a patient here before?
    verified = (
        User.objects.filter(pk=user.pk, doctor_profile__verified_at__isnull=False)
        .annotate(has_own=Exists(User.objects.filter(pk=OuterRef("pk"), cases__isnull=False)))
        .values_list("has_own", flat=True)
        .first()
    )
    if verified is None:
        return own
    # A correlated EXISTS, not an IN over two lists: the database looks one grant up for each case it walks
    # past, so that the first page of a very long worklist costs what a short one's does.
    granted = Q(
        Exists(
            CareRelationship.objects.active().filter(
                Q(case__isnull=True) | Q(case=OuterRef(f"{prefix}pk")),
                doctor=user,
                patient=OuterRef(f"{prefix}patient"),
                patient__is_active=True,
            )
        )
    )
    return granted | own if verified else granted


def addresses_of(user: User) -> set[str]:
    """The addresses that the person has proved to be theirs, in lower case."""
    confirmed = EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)
    return {address.lower() for address in confirmed}


def grants_of(patient: User) -> QuerySet[CareRelationship]:
    """Who may read this patient's cases now, newest first."""
    return (
        CareRelationship.objects.active()
        .filter(patient=patient)
        .select_related("doctor__doctor_profile", "case", "emergency")
    )


def patients_of(doctor: User) -> QuerySet[CareRelationship]:
    """The grants that a verified doctor holds now, with `has_cases` of the patient; none for anybody else."""
    if not is_verified_doctor(doctor):
        return CareRelationship.objects.none()
    return (
        CareRelationship.objects.active()
        .filter(doctor=doctor, patient__is_active=True)
        .select_related("patient", "case", "emergency")
        .annotate(has_cases=Exists(User.objects.filter(pk=OuterRef("patient"), cases__isnull=False)))
    )


def has_ended(patient: User, grant_id: UUID) -> bool:
    """Whether this grant was the patient's and has been ended."""
    ended = CareRelationship.objects.filter(patient=patient, revoked_at__isnull=False)
    return ended.filter(pk=grant_id).exists()


def invitations_by(user: User) -> QuerySet[CareInvitation]:
    """What this person asked (a patient's invitations, a doctor's requests) and what waits or was answered
    within `SHOWN_FOR`, newest first.
    """
    mine = Q(patient=user) & ~Q(way=CareInvitation.Way.REQUEST)
    mine |= Q(doctor=user, way=CareInvitation.Way.REQUEST)
    recent = timezone.now() - SHOWN_FOR
    return CareInvitation.objects.filter(mine, Q(answered_at__gt=recent) | Q(expires_at__gt=recent)).order_by(
        "-created_at", "-id"
    )


def invitations_to(doctor: User) -> QuerySet[CareInvitation]:
    """Patients' invitations that wait for this verified doctor's answer; none for anybody else."""
    if not is_verified_doctor(doctor):
        return CareInvitation.objects.none()
    return (
        CareInvitation.objects.waiting()
        .filter(way=CareInvitation.Way.EMAIL, email__in=addresses_of(doctor), patient__is_active=True)
        .exclude(patient=doctor)
        .select_related("patient")
    )


def requests_to(patient: User) -> QuerySet[CareInvitation]:
    """Verified doctors' requests that wait for this patient's answer; none for anybody else."""
    if not patient.is_active or patient.role != Role.PATIENT:
        return CareInvitation.objects.none()
    return (
        CareInvitation.objects.waiting()
        .filter(
            way=CareInvitation.Way.REQUEST,
            email__in=addresses_of(patient),
            doctor__is_active=True,
            doctor__role=Role.DOCTOR,
            doctor__doctor_profile__verified_at__isnull=False,
        )
        .select_related("doctor__doctor_profile")
    )


def emergencies_about(patient: User) -> QuerySet[CareRelationship]:
    """Every time that a doctor opened this patient's cases in an emergency, newest first."""
    return (
        CareRelationship.objects.filter(patient=patient, is_emergency=True)
        .select_related("doctor__doctor_profile", "emergency")
        .order_by("-granted_at")
    )


def running_emergencies(doctor: User) -> QuerySet[CareRelationship]:
    """The emergency accesses that this doctor holds now, the first to end first."""
    return patients_of(doctor).filter(is_emergency=True).order_by("expires_at")


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """The user's API tokens, newest first."""
    return ApiToken.objects.filter(user=user)
