"""Rows for tests, with as little in them as each needs."""

import gzip
from typing import Any

import factory
import numpy as np
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import encrypt
from django.core.files.base import ContentFile
from django.utils import timezone
from factory.django import DjangoModelFactory

from accounts import second_factor
from accounts.models import CareRelationship, DoctorProfile, Role, User
from cases.imaging.preview import preview_png
from cases.imaging.volume import CanonicalVolume
from cases.models import Case, Scan
from cases.storage import new_directory, private_storage

PASSWORD = "correct horse battery staple"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class UserFactory(DjangoModelFactory):
    """A patient with a verified address and the password PASSWORD.

    Whoever needs a second step at sign-in has one, with the secret TOTP_SECRET; `second_factor` overrules.
    """

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
        wanted = kwargs.pop("second_factor", None)
        user = model_class.objects.create_user(password=password, **kwargs)
        EmailAddress.objects.create(user=user, email=user.email, verified=verified, primary=True)
        if second_factor.is_required(user) if wanted is None else wanted:
            Authenticator.objects.create(user=user, type="totp", data={"secret": encrypt(TOTP_SECRET)})
        return user


class UnverifiedDoctorFactory(UserFactory):
    """A doctor who waits for verification."""

    role = Role.DOCTOR

    @factory.post_generation
    def profile(self: Any, create: bool, extracted: Any, **kwargs: Any) -> None:
        """The licence."""
        DoctorProfile.objects.create(user=self, licence_number="L-1", licence_country="Utopia", **kwargs)


class DoctorFactory(UserFactory):
    """A doctor with a verified licence."""

    role = Role.DOCTOR

    @factory.post_generation
    def profile(self: Any, create: bool, extracted: Any, **kwargs: Any) -> None:
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


class CaseFactory(DjangoModelFactory):
    """A case of its own patient."""

    class Meta:
        model = Case

    patient = factory.SubFactory(UserFactory)
    title = factory.Sequence(lambda n: f"Case {n}")
    kind = Case.Kind.CHEST_XRAY
    age_group = Case.AgeGroup.ADULT


class ScanFactory(DjangoModelFactory):
    """A scan with real files: a small film, or with `slices` a small volume. Give `volume` for pixels of
    your own."""

    class Meta:
        model = Scan

    case = factory.SubFactory(CaseFactory)
    uploaded_by = factory.SelfAttribute("case.patient")
    sha256 = factory.Sequence(lambda n: f"{n:064x}")
    source_format = "raster"
    description = "Picture"

    @classmethod
    def _create(cls, model_class: type[Scan], *args: Any, **kwargs: Any) -> Scan:
        slices = kwargs.pop("slices", 1)
        volume = kwargs.pop("volume", None) or small_volume(slices)
        x, y, z = volume.data.shape
        directory = new_directory()
        storage = private_storage()
        fields = {
            "original": storage.save(f"{directory}/original.png", ContentFile(b"not really a png")),
            "canonical": storage.save(
                f"{directory}/scan.nii.gz", ContentFile(gzip.compress(volume.to_nifti().to_bytes()))
            ),
            "preview": storage.save(f"{directory}/preview.png", ContentFile(preview_png(volume))),
        }
        meta = {
            "width": x,
            "height": y,
            "slices": z,
            "spacing": volume.spacing,
            "modality": volume.modality,
            "body_part": volume.body_part,
            "plane": volume.plane,
            "oriented": volume.oriented,
            "is_colour": volume.is_colour,
            "byte_size": 16,
        }
        return model_class.objects.create(*args, **{**fields, **meta, **kwargs})


def small_volume(slices: int = 1) -> CanonicalVolume:
    """A film of 24 x 20 pixels, or a volume of 24 x 20 x `slices` voxels, brighter towards the end of every
    axis."""
    shape = (24, 20, slices)
    data = np.add.outer(np.add.outer(np.arange(24), np.arange(20)), np.arange(slices)).reshape(shape)
    return CanonicalVolume(
        data=data.astype(np.float32),
        affine=np.eye(4),
        spacing=None,
        modality="",
        source_format="raster",
        window=None,
    )
