"""A condition's public page with one revision laid over it. Nothing is saved."""

from typing import Any

from django.db.models import Prefetch

from resources import selectors
from resources.choices import Status
from resources.content import fill
from resources.models import Advice, Citation, Condition, Resource, Revision, Source, Translation, Treatment
from resources.translating import TRANSLATABLE


def condition_id_of(revision: Revision) -> str | None:
    """The condition on whose page the revision would be seen; None for advice and resources of none."""
    model: Any = revision.content_type.model_class()
    content = revision.content
    if model is Condition:
        return str(revision.object_id)
    if model is Resource:
        return next(iter(content.get("conditions", [])), None)
    if model is Translation:
        if content.get("condition"):
            return str(content["condition"])
        for name, kind in (("treatment", Treatment), ("advice", Advice)):
            if content.get(name):
                key = kind.objects.filter(pk=content[name]).values_list("condition_id", flat=True).first()
                return str(key) if key else None
        return None
    return content.get("condition")


def page_context(revision: Revision) -> dict[str, Any] | None:
    """What the public page's template needs, as if `revision` were published; None where no page shows it."""
    key = condition_id_of(revision)
    condition = _condition(key) if key else None
    if condition is None:
        return None
    _lay_over(condition, revision)
    return {
        "condition": condition,
        "guide": selectors.guide_of(condition),
        "advice_by_level": selectors.advice_by_level(condition),
        "revision": revision,
    }


def _condition(key: str) -> Condition | None:
    published = {"status": Status.PUBLISHED}
    return (
        Condition.objects.filter(pk=key)
        .prefetch_related(
            Prefetch("treatments", Treatment.objects.filter(**published).prefetch_related("sources")),
            Prefetch("advice", Advice.objects.filter(**published).prefetch_related("sources")),
            Prefetch("resources", Resource.objects.filter(**published)),
            Prefetch("citations", Citation.objects.select_related("source")),
        )
        .first()
    )


def _lay_over(condition: Condition, revision: Revision) -> None:
    model: Any = revision.content_type.model_class()
    content = revision.content
    if model is Condition:
        fill(condition, content)
        pairs = [item.partition(":")[::2] for item in content.get("citations", [])]
        sources = Source.objects.in_bulk([source for _section, source in pairs])
        by_key = {str(pk): source for pk, source in sources.items()}
        _prefetched(condition)["citations"] = [
            Citation(condition=condition, source=by_key[source], section=section)
            for section, source in pairs
            if source in by_key
        ]
        return
    if model is Translation:
        _translate(condition, content)
        return
    name = {Treatment: "treatments", Advice: "advice", Resource: "resources"}[model]
    row = fill(model(pk=revision.object_id, status=Status.PUBLISHED), content)
    row._state.adding = False
    if model is not Resource:
        _prefetched(row)["sources"] = list(Source.objects.filter(pk__in=content.get("sources", [])))
    others = [item for item in getattr(condition, name).all() if item.pk != row.pk]
    if model is Advice:
        # One text per level and reader: this one would take the other's place.
        others = [a for a in others if (a.danger_level, a.audience) != (row.danger_level, row.audience)]
    _prefetched(condition)[name] = sorted([*others, row], key=lambda item: getattr(item, "position", 0))


def _translate(condition: Condition, content: dict[str, Any]) -> None:
    for entry in [condition, *condition.treatments.all(), *condition.advice.all()]:
        name = str(entry._meta.model_name)
        if str(content.get(name)) != str(entry.pk):
            continue
        for field in TRANSLATABLE[type(entry)]:
            if text := content.get("texts", {}).get(field):
                setattr(entry, field, text)


def _prefetched(row: Any) -> dict[str, Any]:
    """The row's cache of related objects, which `.all()` answers from."""

    class _Cache(dict[str, Any]):
        def __setitem__(self, key: str, rows: Any) -> None:
            manager = getattr(row, key)
            result = manager.get_queryset().none()
            result._result_cache = list(rows)
            result._prefetch_done = True
            row._prefetched_objects_cache = {**getattr(row, "_prefetched_objects_cache", {}), key: result}

    return _Cache()
