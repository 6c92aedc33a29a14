"""Account pages: who I am, which programs act for me."""

from uuid import UUID

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import licences, selectors, services
from accounts.forms import AccountForm, LicenceForm, TokenForm
from accounts.models import DoctorProfile, Role
from accounts.page_users import me as _me
from pmi_site.errors import UserError


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """The user's own data; POST changes the name."""
    user = _me(request)
    form = AccountForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        if services.rename(user, form.cleaned_data["full_name"]):
            messages.warning(
                request, _("Your name is saved. We check your licence again under the new name.")
            )
            return redirect("accounts:waiting")
        messages.success(request, _("Your name is saved."))
        return redirect("accounts:account")
    # A rejected form has already written its values on the instance; the page must show what is stored.
    user.refresh_from_db()
    profile = getattr(user, "doctor_profile", None) if user.role == Role.DOCTOR else None
    return render(request, "accounts/account.html", {"form": form, "profile": profile})


@login_required
@require_safe
def begin(request: HttpRequest) -> HttpResponse:
    """On to the first page of this person's role."""
    return redirect(get_adapter().get_login_redirect_url(request))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def waiting(request: HttpRequest) -> HttpResponse:
    """Where a doctor lands whose licence nobody has verified; POST corrects it and waits anew."""
    user = _me(request)
    if user.role != Role.DOCTOR or selectors.is_verified_doctor(user):
        return redirect("cases:list")
    profile = DoctorProfile.objects.filter(user=user).first()
    form = LicenceForm(request.POST or None, instance=profile)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        licences.correct(
            user,
            number=data["licence_number"],
            country=data["licence_country"],
            specialty=data["specialty"],
        )
        messages.success(request, _("Thank you. We check your licence again."))
        return redirect("accounts:waiting")
    if profile is not None:
        # A rejected form has already written its values on the instance; the page shows what is stored.
        profile.refresh_from_db()
    context = {"profile": profile, "form": form}
    return render(request, "accounts/waiting.html", context, status=400 if form.errors else 200)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("key")
def tokens(request: HttpRequest) -> HttpResponse:
    """The user's API tokens; POST makes one and shows its key this one time."""
    user = _me(request)
    form, key = TokenForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        try:
            _token, key = services.create_token(user, form.cleaned_data["name"])
        except UserError as error:
            form.add_error(None, error.message)
        else:
            # No redirect: the key must not travel through a session or a cookie.
            form = TokenForm()
    context = {"form": form, "key": key, "tokens": selectors.tokens_of(user)}
    return render(request, "accounts/tokens.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
def delete_token(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Delete a token; 404 for one that is not the user's."""
    if not services.delete_token(_me(request), token_id):
        raise Http404
    messages.success(request, _("The token is deleted. Programs that use it are locked out."))
    return redirect("accounts:tokens")
