"""Every read about people: who may see whom."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import ApiToken, CareRelationship, Role, User


def is_verified_doctor(user: User | AnonymousUser) -> bool:
    """Whether this is an active doctor whose licence an administrator has checked."""
    if not isinstance(user, User) or not user.is_active or user.role != Role.DOCTOR:
        return False
    return User.objects.filter(pk=user.pk, doctor_profile__verified_at__isnull=False).exists()


def visible_patient_ids(user: User | AnonymousUser) -> QuerySet[User, UUID]:
    """Ids of the people *all* of whose medical data `user` may read, as a subquery-ready query set.

    Oneself always; a verified doctor also the patients whose grant for all cases holds now. Grants for one
    case are not in here: to read cases or anything in them use `case_access`. An administrator's account is
    for running the site and sees nobody, not even itself.
    """
    if not isinstance(user, User) or not user.is_active or user.role == Role.ADMIN:
        return User.objects.none().values_list("pk", flat=True)
    visible = User.objects.filter(pk=user.pk)
    if is_verified_doctor(user):
        granted = CareRelationship.objects.active().filter(doctor=user, case__isnull=True).values("patient")
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
            )
        )
    )
    return granted | own if verified else granted


def grants_of(patient: User) -> QuerySet[CareRelationship]:
    """Who may read this patient's cases now, newest first."""
    return (
        CareRelationship.objects.active()
        .filter(patient=patient)
        .select_related("doctor__doctor_profile", "case", "emergency")
    )


def patients_of(doctor: User) -> QuerySet[CareRelationship]:
    """The grants that a verified doctor holds now; none for anybody else."""
    if not is_verified_doctor(doctor):
        return CareRelationship.objects.none()
    return (
        CareRelationship.objects.active()
        .filter(doctor=doctor, patient__is_active=True)
        .select_related("patient", "case", "emergency")
    )


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """The user's API tokens, newest first."""
    return ApiToken.objects.filter(user=user)
