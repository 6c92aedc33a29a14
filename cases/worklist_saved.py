"""Saved views of the worklist: every doctor's own, and nobody else's."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from cases.models import WorklistView
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from accounts.models import User

MOST_VIEWS = 30
LONGEST_QUERY = WorklistView._meta.get_field("query").max_length or 400


def views_of(user: User) -> QuerySet[WorklistView]:
    """The user's saved views by name."""
    return WorklistView.objects.filter(owner=user).order_by("name", "pk")


def get_view(user: User, view_id: uuid.UUID) -> WorklistView:
    """One of the user's views. Raises Http404 for any other."""
    view = views_of(user).filter(pk=view_id).first()
    if view is None:
        raise Http404("No such view.")
    return view


def save_view(user: User, name: str, query: str) -> WorklistView:
    """Keep filters under a name. Raises UserError ``too_many_views``, ``name_taken``, ``too_long``."""
    if len(query) > LONGEST_QUERY:
        raise UserError("too_long", _("These filters are too long to be saved. Please shorten the search."))
    if views_of(user).count() >= MOST_VIEWS:
        raise UserError("too_many_views", _("You have many saved views. Please delete one first."))
    try:
        with transaction.atomic():
            return WorklistView.objects.create(owner=user, name=name, query=query)
    except IntegrityError as error:
        raise _name_taken() from error


def rename_view(view: WorklistView, name: str) -> None:
    """Give a view another name. Raises UserError ``name_taken``."""
    try:
        with transaction.atomic():
            view.name = name
            view.save(update_fields=["name", "updated_at"])
    except IntegrityError as error:
        raise _name_taken() from error


def delete_view(view: WorklistView) -> None:
    """Forget a view."""
    view.delete()


def _name_taken() -> UserError:
    return UserError("name_taken", _("You have a view with this name. Please choose another name."))
