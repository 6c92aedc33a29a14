"""The public pages of the knowledge base. No login: health information is for everyone."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from resources import selectors
from resources.choices import Kind


@require_safe
def condition_list(request: HttpRequest) -> HttpResponse:
    """Conditions grouped by scan; `?q=` searches, `?kind=` narrows to one scan."""
    query = request.GET.get("q", "").strip()[:100]
    kind = request.GET.get("kind", "")
    conditions = list(selectors.search_conditions(query, kind))
    groups = [(k.label, [c for c in conditions if c.kind == k]) for k in Kind]
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
    condition = selectors.published_condition(slug)
    if condition is None:
        raise Http404
    context = {
        "condition": condition,
        "guide": selectors.guide_of(condition),
        "advice_by_level": selectors.advice_by_level(condition),
    }
    return render(request, "resources/condition_detail.html", context)
