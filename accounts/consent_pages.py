"""The page on which a patient agrees, purpose by purpose, and takes it back."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import consents
from accounts.consents import TEXTS, ConsentText
from accounts.models import Consent, ConsentPurpose
from accounts.page_users import the_patient


@dataclass(frozen=True)
class Choice:
    """One purpose as the page shows it."""

    text: ConsentText
    state: str  # "given", "implied" (care, never asked), "outdated" (other words were agreed to) or "none"
    held: Consent | None

    @property
    def is_on(self) -> bool:
        """Whether PMI acts on this purpose now."""
        return self.state in {"given", "implied"}


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def consent(request: HttpRequest) -> HttpResponse:
    """What the patient agrees to; POST `give` or `revoke` for a `purpose` changes it, with effect at once."""
    patient = the_patient(request)
    if request.method == "POST":
        purpose = request.POST.get("purpose", ConsentPurpose.SIMILAR_SEARCH)
        answer = request.POST.get("answer")
        if purpose not in TEXTS or answer not in {"give", "revoke"}:
            return HttpResponse(status=400)
        if answer == "give":
            consents.give_consent(patient, purpose)
            messages.success(request, TEXTS[purpose].thanks)
        else:
            consents.revoke_consent(patient, purpose)
            messages.success(request, TEXTS[purpose].goodbye)
        return redirect("accounts:consent")
    said = list(consents.history_of(patient))
    choices = [_choice(text, said) for text in TEXTS.values()]
    history: list[dict[str, Any]] = [
        {"consent": item, "title": TEXTS[item.purpose].title} for item in said if item.purpose in TEXTS
    ]
    return render(request, "accounts/consent.html", {"choices": choices, "history": history})


def _choice(text: ConsentText, said: list[Consent]) -> Choice:
    mine = [item for item in said if item.purpose == text.purpose]
    held = next((item for item in mine if item.revoked_at is None), None)
    if held is not None:
        # Care goes on under the words that were agreed to, and asks again; nothing else does.
        return Choice(text, "given" if held.text_version in text.counting else "outdated", held)
    if text.purpose == ConsentPurpose.CARE and not mine:
        return Choice(text, "implied", None)
    return Choice(text, "none", None)
