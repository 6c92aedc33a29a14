"""What belongs to a person, found by walking the models of all apps: no table can be forgotten."""

from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.functions import Cast

from accounts import portable
from accounts.models import User

_NUMBER_ENDINGS = ("_id", "_key")


@cache
def paths_to_user(model: type[models.Model]) -> tuple[str, ...]:
    """The ways from a row to the person it goes with ("scan__case__patient"), along cascading keys only."""
    return tuple(_paths(model, ()))


def _paths(model: type[models.Model], seen: tuple[type[models.Model], ...]) -> Iterator[str]:
    for field in model._meta.concrete_fields:
        if not isinstance(field, models.ForeignKey) or _on_delete(field) is not models.CASCADE:
            continue
        target = field.related_model
        if target is User:
            yield field.name
        elif isinstance(target, type) and target not in (model, *seen):
            yield from (f"{field.name}__{rest}" for rest in _paths(target, (*seen, model)))


def _on_delete(field: models.ForeignKey[Any, Any]) -> Any:
    return field.remote_field.on_delete


def all_models() -> list[type[models.Model]]:
    """Every table of every app, also those between two others."""
    return [model for model in apps.get_models(include_auto_created=True) if not model._meta.proxy]


def owned_models() -> list[type[models.Model]]:
    """The tables whose rows go with a person."""
    return [model for model in all_models() if paths_to_user(model)]


def rows_of(model: type[models.Model], user_id: UUID) -> QuerySet[Any]:
    """The rows of a table that go with a person."""
    condition = Q()
    for path in paths_to_user(model):
        condition |= Q(**{path: user_id})
    return model._default_manager.filter(condition).distinct() if condition else model._default_manager.none()


def uncovered() -> list[str]:
    """Fields that could outlive a person without anybody having thought about it. The tests want none."""
    found = []
    for model in all_models():
        for field in model._meta.concrete_fields:
            name = f"{model._meta.label}.{field.name}"
            if name not in portable.kept and (problem := _problem(model, field)):
                found.append(f"{name}: {problem}")
    return found


def _problem(model: type[models.Model], field: Any) -> str:
    if isinstance(field, models.ForeignKey):
        target = field.related_model
        personal = target is User or (isinstance(target, type) and paths_to_user(target))
        if personal and _on_delete(field) is not models.CASCADE:
            return "points at personal data and does not go with it"
    elif isinstance(field, models.FileField):
        if not paths_to_user(model):
            return "a file that belongs to nobody"
    elif field.name == "object_id" or (
        isinstance(field, models.UUIDField) and not field.primary_key and field.name.endswith(_NUMBER_ENDINGS)
    ):
        return "a number that may name a person or a thing of theirs"
    return ""


# --- files --------------------------------------------------------------------------------------------------


def storage() -> Storage:
    """Where private files lie."""
    return storages["private"]


def folders_of(user_id: UUID) -> set[str]:
    """The private folders of a person: those of every file that a row names, and those that apps know of."""
    found: set[str] = set()
    for model in owned_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, models.FileField):
                names = rows_of(model, user_id).values_list(field.name, flat=True)
                found.update(str(PurePosixPath(name).parent) for name in names.iterator() if name)
    for eraser in portable.erasers.values():
        found.update(eraser.folders(user_id))
    return found - {".", ""}


def private_files(place: str = "") -> Iterator[str]:
    """The names of all private files below a folder."""
    try:
        folders, files = storage().listdir(place)
    except OSError:
        return
    for name in files:
        yield str(PurePosixPath(place) / name)
    for name in folders:
        yield from private_files(str(PurePosixPath(place) / name))


# --- mentions -----------------------------------------------------------------------------------------------


def mentions(user_id: UUID, *, except_for: tuple[type[models.Model], ...] = ()) -> list[str]:
    """Where the id of a person still stands: as a key, as a number, or inside a text; but for columns whose
    ids are meant to stay (`portable.keep_ids`). Reads whole tables.
    """
    found = []
    for model in all_models():
        if model in except_for:
            continue
        for field in model._meta.concrete_fields:
            if f"{model._meta.label}.{field.name}" in portable.kept_ids:
                continue
            count = _mentioning(model, field, user_id)
            if count:
                found.append(f"{count} rows of {model._meta.label} name the account in {field.name}")
    return found


def _mentioning(model: type[models.Model], field: Any, user_id: UUID) -> int:
    rows = model._default_manager.all()
    if isinstance(field, models.ForeignKey):
        return rows.filter(**{field.attname: user_id}).count() if field.related_model is User else 0
    if isinstance(field, models.UUIDField):
        return rows.filter(**{field.name: user_id}).count()
    if isinstance(field, models.CharField | models.TextField | models.JSONField):
        text = rows.annotate(as_text=Cast(field.name, models.TextField()))
        return text.filter(Q(as_text__icontains=str(user_id)) | Q(as_text__icontains=user_id.hex)).count()
    return 0
