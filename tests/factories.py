"""Rows for tests, with as little in them as each needs."""

from typing import Any

import factory
from allauth.account.models import EmailAddress
from django.utils import timezone
from factory.django import DjangoModelFactory

from accounts.models import CareRelationship, DoctorProfile, Role, User

PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory):
    """A patient with a verified address and the password PASSWORD."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.org")
    full_name = factory.Sequence(lambda n: f"Person {n}")
    role = Role.PATIENT

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        password = kwargs.pop("password", PASSWORD)
        verified = kwargs.pop("email_verified", True)
        user = model_class.objects.create_user(*args, password=password, **kwargs)
        EmailAddress.objects.create(user=user, email=user.email, verified=verified, primary=True)
        return user


class UnverifiedDoctorFactory(UserFactory):
    """A doctor who waits for verification."""

    role = Role.DOCTOR

    @factory.post_generation
    def profile(self, create: bool, extracted: Any, **kwargs: Any) -> None:
        """The licence."""
        DoctorProfile.objects.create(user=self, licence_number="L-1", licence_country="Utopia", **kwargs)


class DoctorFactory(UserFactory):
    """A doctor with a verified licence."""

    role = Role.DOCTOR

    @factory.post_generation
    def profile(self, create: bool, extracted: Any, **kwargs: Any) -> None:
        """The licence."""
        DoctorProfile.objects.create(
            user=self, licence_number="L-2", licence_country="Utopia", verified_at=timezone.now(), **kwargs
        )


class AdminFactory(UserFactory):
    """An administrator of the site."""

    role = Role.ADMIN
    is_staff = True
    is_superuser = True


class CareRelationshipFactory(DjangoModelFactory):
    """A grant that holds; give `patient` and `doctor`, or get fresh ones."""

    class Meta:
        model = CareRelationship

    patient = factory.SubFactory(UserFactory)
    doctor = factory.SubFactory(DoctorFactory)
