"""Every read about people: who may see whom."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from accounts.models import ApiToken, CareRelationship, Role, User


def is_verified_doctor(user: User | AnonymousUser) -> bool:
    """Whether this is an active doctor whose licence an administrator has checked."""
    if not isinstance(user, User) or not user.is_active or user.role != Role.DOCTOR:
        return False
    return User.objects.filter(pk=user.pk, doctor_profile__verified_at__isnull=False).exists()


def visible_patient_ids(user: User | AnonymousUser) -> QuerySet[User, UUID]:
    """Ids of the people whose medical data `user` may read, as a subquery-ready query set.

    Oneself always; a verified doctor also the patients whose grant holds now. An administrator's account is
    for running the site and sees nobody, not even itself.
    """
    if not isinstance(user, User) or not user.is_active or user.role == Role.ADMIN:
        return User.objects.none().values_list("pk", flat=True)
    visible = User.objects.filter(pk=user.pk)
    if is_verified_doctor(user):
        granted = CareRelationship.objects.active().filter(doctor=user).values("patient")
        visible = visible | User.objects.filter(pk__in=granted)
    return visible.values_list("pk", flat=True)


def grants_of(patient: User) -> QuerySet[CareRelationship]:
    """The doctors who may read this patient's cases now."""
    return CareRelationship.objects.active().filter(patient=patient).select_related("doctor__doctor_profile")


def patients_of(doctor: User) -> QuerySet[CareRelationship]:
    """The grants that a verified doctor holds now; none for anybody else."""
    if not is_verified_doctor(doctor):
        return CareRelationship.objects.none()
    return CareRelationship.objects.active().filter(doctor=doctor).select_related("patient")


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """The user's API tokens, newest first."""
    return ApiToken.objects.filter(user=user)
