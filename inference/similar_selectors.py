"""Every read of similar-image search: who may be found, and the one statement that finds.

Who is found: the atlas; other people's scans that a doctor confirmed and whose owner consents now; and,
apart, the same patient's own earlier scans, if the asking user may see them. All of one embedding space.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection, models
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet, Subquery, Value
from django.http import Http404
from django.utils.translation import gettext as _
from pgvector.django import HalfVectorField

from accounts.consents import open_consents
from accounts.models import ConsentPurpose, Role, User
from cases.models import Review, Scan
from inference import release
from inference.models import (
    Analysis,
    Embedding,
    Finding,
    ReferenceImage,
    ReferenceVector,
    SimilarSearch,
    VectorSpace,
)
from inference.selectors import as_uuid
from inference.similar_spaces import in_space, missing
from pmi_site.errors import UserError

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

NEAREST = 6
MOST = 50
# So many rows are asked for each hit: slices of one person lie close together, and one of each is found.
ROWS_A_HIT = 8
# How many candidates HNSW keeps while it searches, four times as many as anybody may ask for. At a million
# vectors fewer find less than 97 in 100 of the true nearest (docs/similar-benchmark.md).
EF_SEARCH = 200
# How many lists of a very large space are looked at: 99 in 100 of the true nearest at a million.
PROBES = 16


@dataclass(frozen=True)
class Filters:
    """What may be found; empty means anything. `own` False leaves the patient's earlier scans out."""

    condition: str = ""
    source: str = ""
    age_band: str = ""
    own: bool = True


@dataclass(frozen=True)
class Neighbour:
    """One hit. `distance` is the cosine distance. Of an own scan the ids of scan, case, analysis
    and finding are given; of a reference `reference_id`. Nothing else leads to a person.
    """

    distance: float
    condition: str
    source: str
    age_band: str
    collection: str
    licence: str
    citation: str
    showable: bool
    has_heatmap: bool
    reference_id: uuid.UUID | None = None
    scan_id: uuid.UUID | None = None
    case_id: uuid.UUID | None = None
    analysis_id: uuid.UUID | None = None
    finding_id: uuid.UUID | None = None
    group: str = ""  # whose it is, as a hash: only to keep one hit of each person
    is_reviewed: bool = False  # a doctor has signed what an own scan shows; the condition is the model's


@dataclass(frozen=True)
class Hits:
    """What was found, nearest first: other cases, and the patient's own earlier scans."""

    others: tuple[Neighbour, ...] = ()
    own: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Probe:
    """What is searched for: the vector of an analysis (it stays in the database) or a given one.

    `patient_id` and `scan_id` say whose scan it is, where that is known.
    """

    space: VectorSpace
    analysis_id: uuid.UUID | None = None
    vector: Sequence[float] = field(default_factory=tuple)
    patient_id: uuid.UUID | None = None
    scan_id: uuid.UUID | None = None


class _Sized(Func):
    """The vector as a type of fixed length: exactly the expression that the space's index is built over."""

    output_field = HalfVectorField()

    def __init__(self, expression: Any, dims: int) -> None:
        super().__init__(expression)
        self.template = f"(%(expressions)s::halfvec({int(dims)}))"


class _Distance(Func):
    template = "(%(expressions)s)"
    arg_joiner = " <=> "
    output_field = models.FloatField()


class _ExactDistance(_Distance):
    """The same number as an expression that no index serves, so that all rows are compared.

    Where a filter goes with the place in the space, as a condition does, an index that walks outwards from
    the query gives up long before it has come to what the filter lets through.
    """

    template = "((%(expressions)s) + 0)"


def released() -> QuerySet[ReferenceImage]:
    """The reference images that may be found now.

    Taking a consent back deletes the rows; that the consent holds is asked here once more all the same.
    """
    consent = open_consents(ConsentPurpose.SIMILAR_SEARCH).filter(patient_id=OuterRef("owner_id"))
    return ReferenceImage.objects.filter(Q(owner__isnull=True) | Exists(consent))


def neighbours(
    probe: Probe, visible: QuerySet[Scan], filters: Filters | None = None, k: int = NEAREST
) -> Hits:
    """The nearest images in the probe's space, by one SQL statement, one of each person at most.

    `visible` are the scans that the asking user may read: own earlier scans come from these only. A space
    without dimensions holds nothing and is not searched.
    """
    wanted = filters or Filters()
    if not probe.space.dims:
        return Hits()
    k = max(1, min(k, MOST))
    dims = probe.space.dims
    query: Any
    if probe.analysis_id:
        held = Embedding.objects.filter(
            analysis_id=probe.analysis_id, model_version_id=probe.space.model_version_id
        )
        query = Subquery(held.values(sized=_Sized(F("vector"), dims))[:1])
    else:
        # An embedding of full length is shortened as the space's vectors were.
        vector = in_space(probe.space, np.asarray(probe.vector, dtype=np.float32)[None])[0]
        query = _Sized(Value(vector.tolist(), output_field=HalfVectorField()), dims)
    filtered = bool(wanted.condition or wanted.source or wanted.age_band)
    distance = (_ExactDistance if filtered else _Distance)(_Sized(F("vector"), dims), query)
    # Slices of one person lie close together: some more rows leave enough people.
    searched = [_references(probe, wanted, distance)[: ROWS_A_HIT * k]]
    if probe.patient_id and wanted.own and not wanted.source:
        # Several readings of one scan lie at one place: some more rows leave enough scans.
        searched.append(_own(probe, wanted, distance, visible)[: 4 * k])
    asked = searched[0] if len(searched) == 1 else searched[0].union(*searched[1:], all=True)
    rows = _tuned(asked) if probe.space.indexed and not filtered else list(asked)
    hits = sorted((Neighbour(*row) for row in rows if row[0] is not None), key=lambda hit: hit.distance)
    own: dict[Any, Neighbour] = {}
    others: dict[Any, Neighbour] = {}
    for hit in hits:
        if hit.scan_id:
            own.setdefault(hit.scan_id, hit)
        else:
            others.setdefault(hit.group or hit.reference_id, hit)
    return Hits(tuple(others.values())[:k], tuple(own.values())[:k])


def _tuned(asked: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """The rows, with the index's options set for this search only: how widely it looks, and that it goes on
    where the conditions (consent, filters) leave too few of what it found.

    Both go to the database as one message. It runs them as one transaction, so the options end with it, and
    a search costs one way there and back instead of four. (Inside a transaction they last to its end.)
    """
    sql, params = asked.query.sql_with_params()
    with connection.cursor() as cursor:
        options = [str(EF_SEARCH), "strict_order", str(PROBES), "relaxed_order"]
        cursor.execute(f"{_OPTIONS}; {sql}", [*options, *params])
        return list(cursor.fetchall())


_OPTIONS = "SELECT " + ", ".join(
    f"set_config('{name}', %s, true)"
    for name in ("hnsw.ef_search", "hnsw.iterative_scan", "ivfflat.probes", "ivfflat.iterative_scan")
)


def _references(probe: Probe, wanted: Filters, distance: Any) -> QuerySet[Any, Any]:
    consent = open_consents(ConsentPurpose.SIMILAR_SEARCH).filter(patient_id=OuterRef("reference__owner_id"))
    vectors = ReferenceVector.objects.filter(
        Q(reference__owner__isnull=True) | Exists(consent), model_version_id=probe.space.model_version_id
    )
    if probe.patient_id:
        vectors = vectors.filter(Q(reference__owner__isnull=True) | ~Q(reference__owner_id=probe.patient_id))
    for name in ("condition", "source", "age_band"):
        if value := getattr(wanted, name):
            vectors = vectors.filter(**{f"reference__{name}": value})
    nothing = Value(None, output_field=models.UUIDField())
    return (
        vectors.annotate(c_distance=distance)
        .order_by("c_distance")
        .values_list(
            "c_distance",
            "reference__condition",
            "reference__source",
            "reference__age_band",
            "reference__collection",
            "reference__licence",
            "reference__citation",
            "reference__showable",
            models.ExpressionWrapper(Q(reference__heatmap__gt=""), output_field=models.BooleanField()),
            "reference_id",
            nothing,
            nothing,
            nothing,
            nothing,
            "reference__group_key",
            Value(False, output_field=models.BooleanField()),
        )
    )


def _own(probe: Probe, wanted: Filters, distance: Any, visible: QuerySet[Scan]) -> QuerySet[Any, Any]:
    top = Finding.objects.filter(analysis_id=OuterRef("analysis_id")).order_by("rank")
    heat = top.filter(heatmap_png__gt="")
    scans = Embedding.objects.filter(
        # What its patient does not see yet is not compared with, whoever asks.
        release.open_to_patients("analysis__"),
        model_version_id=probe.space.model_version_id,
        analysis__status="succeeded",
        analysis__scan__in=visible,
        analysis__scan__case__patient_id=probe.patient_id,
    )
    # Of several readings of a scan the newest that the space has: an older one says what is no longer said.
    newest = Embedding.objects.filter(
        analysis__scan_id=OuterRef("analysis__scan_id"),
        model_version_id=probe.space.model_version_id,
        analysis__status="succeeded",
    ).order_by("-analysis__created_at", "-analysis_id")
    scans = scans.filter(pk=Subquery(newest.values("pk")[:1]))
    if probe.scan_id:
        scans = scans.exclude(analysis__scan_id=probe.scan_id)
        current = Scan.objects.filter(pk=probe.scan_id).values("created_at")[:1]
        scans = scans.filter(analysis__scan__created_at__lte=Subquery(current))
    scans = scans.annotate(
        c_distance=distance,
        c_condition=Subquery(top.values("condition")[:1]),
        c_finding=Subquery(heat.values("pk")[:1]),
        c_reviewed=Exists(
            Review.objects.filter(scan_id=OuterRef("analysis__scan_id"), status=Review.Status.SIGNED)
        ),
    )
    if wanted.condition:
        scans = scans.filter(c_condition=wanted.condition)
    if wanted.age_band:
        scans = scans.filter(analysis__scan__case__age_group=wanted.age_band)
    text = models.TextField()
    return scans.order_by("c_distance").values_list(
        "c_distance",
        "c_condition",
        Value("own", output_field=text),
        "analysis__scan__case__age_group",
        Value("", output_field=text),
        Value("", output_field=text),
        Value("", output_field=text),
        Value(True, output_field=models.BooleanField()),
        models.ExpressionWrapper(Q(c_finding__isnull=False), output_field=models.BooleanField()),
        Value(None, output_field=models.UUIDField()),
        "analysis__scan_id",
        "analysis__scan__case_id",
        "analysis_id",
        "c_finding",
        Value("", output_field=text),
        "c_reviewed",
    )


def active_space(kind: str) -> VectorSpace | None:
    """The space of the version that reads this kind now; a retired space is never searched."""
    return (
        VectorSpace.objects.select_related("model_version")
        .filter(model_version__kind=kind, model_version__is_active=True)
        .first()
    )


def space_to_search(kind: str) -> VectorSpace:
    """The space of the active version. Raises UserError where there is none."""
    space = active_space(kind)
    if space is None or not space.dims:
        if space is not None and missing(space.model_version).exists():
            raise UserError(
                "being_prepared",
                _("The known cases are being prepared for a new version of the model. Please try later."),
            )
        raise UserError("empty_atlas", empty_atlas_text())
    return space


def seen_as(analysis: Analysis, space: VectorSpace) -> uuid.UUID | None:
    """The reading under which the space has a vector of a reading's scan: itself, or the newest other one of
    the same scan; None where the space has none.
    """
    held = Embedding.objects.filter(
        analysis__scan_id=analysis.scan_id, model_version_id=space.model_version_id
    ).order_by("-analysis__created_at", "-analysis_id")
    ids: list[uuid.UUID] = list(held.values_list("analysis_id", flat=True))
    return analysis.pk if analysis.pk in ids else next(iter(ids), None)


def empty_atlas_text() -> str:
    """What to say where there is nothing to compare with."""
    return _(
        "There are no known cases to compare with yet. An administrator can add a reference atlas with the "
        "command import_atlas."
    )


def get_reference(user: User | AnonymousUser, reference_id: uuid.UUID | str) -> ReferenceImage:
    """One reference image that may be shown to a signed-in user.

    Raises Http404 when there is none, it may not be shown, its owner's consent ended, or the user is an
    administrator's account or signed out.
    """
    if not isinstance(user, User) or not user.is_active or user.role == Role.ADMIN:
        raise Http404("No such picture.")
    found = released().filter(pk=as_uuid(reference_id), showable=True).first()
    if found is None:
        raise Http404("No such picture.")
    return found


def get_search(user: User | AnonymousUser, search_id: uuid.UUID | str) -> SimilarSearch:
    """A search of one's own, for half an hour. Raises Http404 otherwise."""
    found = (
        SimilarSearch.objects.select_related("space__model_version", "analysis__scan__case")
        .filter(pk=as_uuid(search_id), owner_id=user.pk)
        .first()
    )
    if found is None:
        raise Http404("No such search.")
    return found
