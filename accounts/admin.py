"""The administrator's desk for people: users, licences, grants and the access log."""

from datetime import datetime
from typing import Any, cast

# Registered here first, so that they can be taken out below.
import allauth.mfa.admin
import allauth.usersessions.admin  # noqa: F401
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import second_factor, services
from accounts.licence_admin import LicenceQueueMixin
from accounts.models import AccessLog, CareRelationship, Consent, DoctorProfile, EmergencyAccess, Role, User
from pmi_site.admin import ReadOnlyAdmin
from pmi_site.errors import UserError

# They show secrets, and where people are signed in; neither is an administrator's business.
admin.site.unregister([Authenticator, UserSession])


class LicenceFilter(admin.SimpleListFilter):
    """Doctors by the state of their licence."""

    title = _("licence")
    parameter_name = "licence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("waiting for verification")), ("verified", _("verified"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if self.value() in {"waiting", "verified"}:
            return queryset.filter(
                role=Role.DOCTOR, doctor_profile__verified_at__isnull=self.value() == "waiting"
            )
        return queryset


class DoctorProfileInline(admin.StackedInline[DoctorProfile, User]):
    """The licence on the user's page. Verification is an action, not a field: it records who did it."""

    model = DoctorProfile
    fk_name = "user"
    extra = 0
    can_delete = False
    readonly_fields = (
        "verified_at",
        "verified_by",
        "waiting_since",
        "checks",
        "declined_at",
        "declined_by",
        "decline_reason",
    )


class UserCreationForm(AdminUserCreationForm[User]):
    """A new user by address."""

    class Meta:
        model = User
        fields = ("email", "full_name", "role")
        field_classes: dict[str, type[forms.Field]] = {}


class UserEditForm(UserChangeForm[User]):
    """A user as stored."""

    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, type[forms.Field]] = {}


@admin.register(User)
class UserAdmin(LicenceQueueMixin, BaseUserAdmin[User]):
    """Users."""

    form = UserEditForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = [DoctorProfileInline]
    ordering = ["email"]
    list_display = ["email", "full_name", "role", "licence", "is_active", "created_at"]
    list_filter = ["role", LicenceFilter, "is_active"]
    search_fields = ["email", "full_name", "doctor_profile__licence_number"]
    readonly_fields = ["last_login", "created_at"]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        (_("Person"), {"fields": ["full_name", "role"]}),
        (_("Rights"), {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        (_("Dates"), {"fields": ["last_login", "created_at"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "full_name", "role", "usable_password", "password1", "password2"]}),
    ]
    # Licences are verified one by one, in their queue.
    actions = ["withdraw_licences", "reset_second_factors"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).select_related("doctor_profile")

    @admin.display(description=_("licence"))
    def licence(self, user: User) -> str:
        """The licence and whether it was checked."""
        profile = getattr(user, "doctor_profile", None)
        if profile is None:
            return "-"
        return f"{profile}: {_('verified') if profile.is_verified else _('waiting')}"

    @admin.action(description=_("Withdraw the verification of the selected doctors"), permissions=["change"])
    def withdraw_licences(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Make the doctors inert again."""
        self._for_each(request, queryset, services.withdraw_verification)

    @admin.action(
        description=_("Take the second step off the selected users (lost telephone)"), permissions=["change"]
    )
    def reset_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """They are signed out everywhere and set up a new one."""
        done = 0
        for user in queryset:
            try:
                second_factor.reset(user, cast(User, request.user))
            except UserError as error:
                self.message_user(request, f"{user.email}: {error.message}", messages.ERROR)
            else:
                done += 1
        if done:
            text = ngettext("%(count)d account was changed.", "%(count)d accounts were changed.", done)
            self.message_user(request, text % {"count": done}, messages.SUCCESS)

    def _for_each(self, request: HttpRequest, queryset: QuerySet[User], service: Any) -> None:
        done = 0
        for user in queryset:
            try:
                service(user, request.user)
            except UserError as error:
                self.message_user(request, f"{user.email}: {error.message}", messages.ERROR)
            else:
                done += 1
        if done:
            text = ngettext("%(count)d licence was changed.", "%(count)d licences were changed.", done)
            self.message_user(request, text % {"count": done}, messages.SUCCESS)


@admin.register(CareRelationship)
class CareRelationshipAdmin(ReadOnlyAdmin):
    """Grants; only patients give and end them."""

    list_display = ["patient", "doctor", "is_emergency", "granted_at", "expires_at", "revoked_at"]
    list_filter = ["is_emergency"]
    list_select_related = ["patient", "doctor"]


@admin.register(EmergencyAccess)
class EmergencyAccessAdmin(ReadOnlyAdmin):
    """Doctors who opened a patient's cases without being asked, and why."""

    list_display = ["doctor", "patient", "created_at", "ends", "ended", "reason"]
    list_select_related = ["grant__doctor", "grant__patient"]
    fields = ["doctor", "patient", "created_at", "ends", "ended", "reason"]
    date_hierarchy = "created_at"

    @admin.display(description=_("doctor"), ordering="grant__doctor__email")
    def doctor(self, access: EmergencyAccess) -> str:
        """Who opened them."""
        return access.grant.doctor.email

    @admin.display(description=_("patient"))
    def patient(self, access: EmergencyAccess) -> str:
        """Whose cases they are."""
        return access.grant.patient.email

    @admin.display(description=_("ends on"))
    def ends(self, access: EmergencyAccess) -> datetime | None:
        """When its time is over."""
        return access.grant.expires_at

    @admin.display(description=_("ended on"))
    def ended(self, access: EmergencyAccess) -> datetime | None:
        """When it ended; empty while it runs."""
        return access.grant.ended_at


@admin.register(AccessLog)
class AccessLogAdmin(ReadOnlyAdmin):
    """Who looked at what. Whose data it was is the patient's to know, not the administrator's."""

    list_display = ["sequence", "at", "who", "action", "object_type", "object_id", "is_emergency"]
    list_filter = ["is_emergency", "action", "object_type"]
    date_hierarchy = "at"
    fields = [
        *("sequence", "at", "who", "action", "object_type", "object_id", "is_emergency"),
        *("prev_hash", "entry_hash"),
    ]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessLog]:
        address = User.objects.filter(log_key=OuterRef("actor_key")).values("email")[:1]
        return super().get_queryset(request).annotate(address=Subquery(address))

    @admin.display(description=_("who"))
    def who(self, entry: AccessLog) -> str:
        """The address of whoever did it."""
        if entry.actor_key is None:
            return str(_("no account"))
        return getattr(entry, "address", None) or str(_("erased account"))


@admin.register(Consent)
class ConsentAdmin(ReadOnlyAdmin):
    """Who agreed to what, in which version of the text."""

    list_display = ("patient", "purpose", "text_version", "given_at", "revoked_at")
    list_filter = ("purpose", "text_version")
    list_select_related = ("patient",)
    show_full_result_count = False
