"""Users, doctors' licences, tokens and consents. Grants, notices and the access log have their own files."""

import hashlib
import secrets
import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access_log_models import AccessLog as AccessLog
from accounts.care_models import CareInvitation as CareInvitation
from accounts.care_models import CareRelationship as CareRelationship
from accounts.care_models import EmergencyAccess as EmergencyAccess
from accounts.job_models import DataExport as DataExport
from accounts.job_models import Erasure as Erasure
from accounts.notice_models import Notice as Notice
from pmi_site.models import BaseModel


class Role(models.TextChoices):
    """What a person comes to PMI for."""

    PATIENT = "patient", _("Patient")
    DOCTOR = "doctor", _("Doctor")
    ADMIN = "admin", _("Administrator")


class UserManager(BaseUserManager["User"]):
    """Makes users by email address, which is kept in lower case."""

    def _create(self, email: str, password: str | None, **fields: Any) -> "User":
        if not email:
            raise ValueError("A user needs an email address.")
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user without any right in the admin."""
        fields.setdefault("is_staff", False)
        fields.setdefault("is_superuser", False)
        return self._create(email, password, **fields)

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """An administrator."""
        fields.update(is_staff=True, is_superuser=True)
        fields.setdefault("role", Role.ADMIN)
        return self._create(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user with this address, in whatever case it was typed."""
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin, BaseModel):
    """A person, known by an email address."""

    email = models.EmailField(
        _("email address"), unique=True, error_messages={"unique": _("This address is in use.")}
    )
    full_name = models.CharField(_("full name"), max_length=150)
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.PATIENT)
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("may use the admin"), default=False)
    mail_notices = models.BooleanField(_("notices by mail"), default=True)
    # In which the person last read pages of the site, or chose to; mails are written while nobody is there to
    # ask.
    language = models.CharField(_("language"), max_length=10, default="en")
    language_is_chosen = models.BooleanField(default=False, editable=False)
    # The name of this person in the access log. It is kept nowhere else, so that erasing the account leaves
    # log lines about nobody.
    log_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["full_name"]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["email"]
        constraints = [
            # With `unique` above: one address is one person, in whatever case it is written.
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower_case")
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keep the address in lower case, so that one address is one person."""
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Like `save`, for forms that check before saving."""
        self.email = self.email.strip().lower()

    def get_full_name(self) -> str:
        """The name as the person wrote it, or the address."""
        return self.full_name or self.email

    def get_short_name(self) -> str:
        """The same: PMI does not guess which part of a name is which."""
        return self.get_full_name()


class DoctorProfile(BaseModel):
    """A doctor's licence. Until an administrator verifies it, a doctor sees no patient's data."""

    user = models.OneToOneField(User, models.CASCADE, related_name="doctor_profile", verbose_name=_("user"))
    licence_number = models.CharField(_("licence number"), max_length=64)
    licence_country = models.CharField(_("country of the licence"), max_length=64)
    specialty = models.CharField(_("specialty"), max_length=100, blank=True)
    verified_at = models.DateTimeField(_("verified on"), null=True, blank=True)
    verified_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("verified by")
    )
    waiting_since = models.DateTimeField(_("waiting since"), default=timezone.now)
    checks = models.JSONField(_("checks done"), default=list, blank=True)
    declined_at = models.DateTimeField(_("declined on"), null=True, blank=True)
    declined_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("declined by")
    )
    decline_reason = models.CharField(_("why it was declined"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("doctor profile")
        verbose_name_plural = _("doctor profiles")

    def __str__(self) -> str:
        return f"{self.licence_country} {self.licence_number}"

    @property
    def is_verified(self) -> bool:
        """Whether an administrator has checked the licence."""
        return self.verified_at is not None

    @property
    def is_declined(self) -> bool:
        """Whether an administrator looked and could not verify it; correcting it asks anew."""
        return self.verified_at is None and self.declined_at is not None


class ApiToken(BaseModel):
    """A program's key to a user's account. Only a digest is stored: the key itself is shown once."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=60)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def new_key() -> str:
        """A fresh random key (43 characters)."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def digest_of(key: str) -> str:
        """What is stored of a key. A plain hash is enough: the key is random, not a password."""
        return hashlib.sha256(key.encode()).hexdigest()


class ConsentPurpose(models.TextChoices):
    """What a patient can agree to; each purpose is asked for on its own."""

    CARE = "care", _("Keeping and reading scans")
    SIMILAR_SEARCH = "similar_search", _("Comparing with other people's scans")
    TRAINING = "training", _("Teaching the program")
    RESEARCH = "research", _("Medical research")


class Consent(BaseModel):
    """A patient agreed to one purpose, in the words of one version of its text. Ended ones are kept."""

    patient = models.ForeignKey(User, models.CASCADE, related_name="consents", verbose_name=_("patient"))
    purpose = models.CharField(_("purpose"), max_length=32, choices=ConsentPurpose)
    text_version = models.CharField(_("version of the text"), max_length=20)
    given_at = models.DateTimeField(_("given on"), default=timezone.now)
    revoked_at = models.DateTimeField(_("taken back on"), null=True, blank=True)

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        ordering = ["-given_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "purpose"],
                condition=Q(revoked_at__isnull=True),
                name="one_open_consent_per_purpose",
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.text_version}"
