"""The public pages of the knowledge base. No login: health information is for everyone."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from pmi_site.reading import country_of
from resources import selectors
from resources.choices import Kind
from resources.models import Condition


@require_safe
def condition_list(request: HttpRequest) -> HttpResponse:
    """Conditions grouped by scan; `?q=` searches and lists the best first, `?kind=` narrows to one scan."""
    query = request.GET.get("q", "").strip()[:100]
    kind = request.GET.get("kind", "")
    language = get_language() or "en"
    conditions = selectors.in_language(selectors.search_conditions(query, kind, language), language)
    groups: list[tuple[Any, list[Condition]]] = [
        (part.label, [entry for entry in conditions if entry.kind == part]) for part in Kind
    ]
    if query:
        groups = [(_("Best matches first"), conditions)]
    context = {
        "groups": [(label, entries) for label, entries in groups if entries],
        "count": len(conditions),
        "query": query,
        "kind": kind if kind in Kind.values else "",
        "kinds": Kind.choices,
    }
    return render(request, "resources/condition_list.html", context)


@require_safe
def condition_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One published condition; 404 for any other."""
    language = get_language() or "en"
    condition = selectors.published_condition(slug, language)
    if condition is None:
        raise Http404
    context = {
        "condition": condition,
        "guide": selectors.guide_of(condition, language=language, country=country_of(request)),
        "advice_by_level": selectors.advice_by_level(condition),
    }
    return render(request, "resources/condition_detail.html", context)
