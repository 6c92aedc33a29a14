"""Searching when people, filters, causes and broken files meet: one hit of each person, the right ones behind
a filter, no false alarm over a cause, and nothing that one broken file holds up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.urls import reverse

from accounts import consents
from accounts.models import Consent, ConsentPurpose
from cases.imaging.volume import ImagingError
from cases.selectors import visible_scans
from inference import similar_page, similar_services, similar_spaces, similar_tasks
from inference.models import Analysis, Confirmation, ReferenceImage, SimilarSearch, VectorSpace
from inference.similar_selectors import Filters, Hits, Neighbour, Probe, neighbours
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference import reviewed
from tests.inference.test_similar_search import atlas, read, vector
from tests.inference.test_similar_spaces import fill

pytestmark = pytest.mark.django_db


def test_one_person_is_one_hit(patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    version = analysis.model_version
    assert version is not None
    nearest = [atlas(version, 0.1 + 0.01 * n, group_key="a" * 64) for n in range(5)][0]
    other, loner = atlas(version, 0.5, group_key="b" * 64), atlas(version, 0.6)
    probe = Probe(VectorSpace.objects.get(), analysis_id=analysis.pk)
    hits = neighbours(probe, visible_scans(patient)).others
    assert [hit.reference_id for hit in hits] == [nearest.pk, other.pk, loner.pk]


@pytest.mark.slow
def test_a_filter_finds_the_nearest_of_what_it_lets_through(
    patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each condition has a corner of the space of its own; the query lies in another one's."""
    monkeypatch.setattr(similar_spaces, "INDEX_FROM", 1000)
    version, dims = rows.model_version(), 32
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(2, dims)) * 3
    vectors, references = [], []
    for centre, condition, count in ((0, "viral-pneumonia", 20_000), (1, "bacterial-pneumonia", 3_000)):
        own = centres[centre] + rng.normal(size=(count, dims))
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        made = fill(version, own, start=len(references), condition=condition)
        references += made
        vectors.append(own)
    space = similar_spaces.space_of(version)
    similar_spaces.finish_space(space)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert similar_spaces.build_index(space)
    query = vectors[0][7]
    wanted = [r.pk for r in np.array(references[20_000:])[np.argsort(-(vectors[1] @ query))[:6]]]
    found = neighbours(
        Probe(space, vector=query.tolist()), visible_scans(patient), Filters(condition="bacterial-pneumonia")
    )
    assert len(set(wanted) & {hit.reference_id for hit in found.others}) >= 5  # vectors have half precision


@pytest.mark.parametrize(
    ("model", "around", "alarm"),
    [
        ("pneumonia", "bacterial-pneumonia", False),
        ("bacterial-pneumonia", "pneumonia", False),
        ("no-chest-finding", "viral-pneumonia", True),
    ],
)
def test_a_cause_is_no_other_finding(patient: Any, model: str, around: str, alarm: bool) -> None:
    made = rows.analysis(ScanFactory.create(case__patient=patient), "succeeded")
    finding = rows.finding(made, model, label="x")
    hits = Hits(tuple(_hit(around if n < 4 else "no-knee") for n in range(6)))
    assert bool(similar_page.vote(hits, [finding])) is alarm


def test_two_causes_against_nothing_found_are_one_reason(patient: Any) -> None:
    made = rows.analysis(ScanFactory.create(case__patient=patient), "succeeded")
    finding = rows.finding(made, "no-chest-finding", label="no_finding")
    mixed = [_hit("viral-pneumonia")] * 3 + [_hit("bacterial-pneumonia")] * 3
    assert "6 of the 6 nearest known cases show pneumonia" in similar_page.vote(Hits(tuple(mixed)), [finding])


def _hit(condition: str) -> Neighbour:
    return Neighbour(0.1, condition, "atlas", "adult", "", "", "", True, False)


def test_a_patients_own_picture_is_searched_as_their_own(patient: Any, other_patient: Any) -> None:
    earlier = ScanFactory.create(case__patient=patient)
    analysis = read(earlier, 0.1)
    search = SimilarSearch.objects.create(
        owner=patient,
        kind="chest_xray",
        state="done",
        space=VectorSpace.objects.get(),
        vector=vector(0).tolist(),
    )
    assert analysis.model_version is not None
    shown = similar_page.found(search, visible_scans(patient), Filters())
    assert [view.hit.scan_id for view in shown.own] == [earlier.pk]
    search.owner = other_patient
    assert not similar_page.found(search, visible_scans(other_patient), Filters()).own


def test_without_care_a_result_page_does_not_search(patient: Any, as_user: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    reference = atlas(read(scan).model_version, 0.2)
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    shown = reverse("inference:similar_picture", args=[reference.pk])
    assert shown in as_user(patient).get(address).text
    consents.give_consent(patient, ConsentPurpose.CARE)
    consents.revoke_consent(patient, ConsentPurpose.CARE)
    assert shown not in as_user(patient).get(address).text
    body = {"analysis": str(scan.analyses.get().pk)}
    answer = as_user(patient).post("/api/v1/similar/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "care_withdrawn")


@pytest.fixture
def confirmed_twice(other_patient: Any, doctor: Any) -> list[Analysis]:
    CareRelationshipFactory.create(patient=other_patient, doctor=doctor)
    made = []
    for angle in (0.1, 0.2):
        analysis = read(ScanFactory.create(case__patient=other_patient), angle)
        reviewed.sign(analysis, doctor)
        similar_services.follow_reviews(analysis.scan_id)
        made.append(analysis)
    return made


def test_a_broken_file_holds_up_neither_a_consent_nor_the_others(
    agrees: Any, confirmed_twice: list[Analysis], other_patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, whole = confirmed_twice
    real = similar_services._picture

    def picture(scan: Any, analysis: Analysis) -> bytes:
        if analysis.pk == broken.pk:
            raise ImagingError("canonical_unreadable", "The stored scan cannot be read.")
        return real(scan, analysis)

    monkeypatch.setattr(similar_services, "_picture", picture)
    agrees(other_patient)
    assert Consent.objects.filter(patient=other_patient, purpose=ConsentPurpose.SIMILAR_SEARCH).exists()
    assert [one.scan_id for one in ReferenceImage.objects.all()] == [whole.scan_id]
    assert Confirmation.objects.count() == 2


def test_a_release_that_fails_leaves_no_picture(
    agrees: Any,
    confirmed_twice: list[Analysis],
    other_patient: Any,
    monkeypatch: pytest.MonkeyPatch,
    private_root: Any,
) -> None:
    def full(self: ReferenceImage, *args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ReferenceImage, "save", full)
    agrees(other_patient)
    assert not list(private_root.glob("references/**/*.png"))


def test_what_an_import_missed_is_filled_though_the_space_was_ready(
    monkeypatch: pytest.MonkeyPatch, patient: Any
) -> None:
    version = read(ScanFactory.create(case__patient=patient)).model_version
    assert version is not None
    atlas(version, 0.2)
    space = similar_spaces.space_of(version)
    similar_spaces.finish_space(space)
    late = ReferenceImage(kind=version.kind, source="atlas", condition="pneumonia", key="late")
    late.picture.save("picture.png", ContentFile(b"x"), save=False)
    late.save()
    asked: list[Any] = []
    monkeypatch.setattr(similar_spaces, "request_filling", asked.append)
    similar_tasks.fill_waiting_spaces()
    assert asked == [version]
    VectorSpace.objects.filter(pk=space.pk).update(failed=1)  # it was tried, and cannot be read
    similar_tasks.fill_waiting_spaces()
    assert asked == [version]


def test_an_import_leaves_a_filling_space_to_who_fills_it(patient: Any) -> None:
    version = read(ScanFactory.create(case__patient=patient)).model_version
    assert version is not None
    atlas(version, 0.2)
    held = similar_spaces.claim_space(version.pk)
    assert held is not None
    similar_spaces.finish_space(held, held=False)
    held.refresh_from_db()
    assert held.state == "filling" and held.lease_expires_at is not None
    similar_spaces.finish_space(held)
    held.refresh_from_db()
    assert held.state == "ready" and held.lease_expires_at is None
    similar_spaces.progress(held)  # as a released scan does
    assert similar_spaces.claim_space(version.pk) is not None


def test_nothing_of_somebody_without_care_is_looked_at_again(
    agrees: Any, confirmed_twice: list[Analysis], other_patient: Any
) -> None:
    agrees(other_patient)
    version = confirmed_twice[0].model_version
    assert version is not None and ReferenceImage.objects.count() == 2
    newer = rows.model_version(active=False, digit="b")
    own = atlas(version, 0.3)
    consents.give_consent(other_patient, ConsentPurpose.CARE)
    assert similar_spaces.missing(newer).count() == 3
    consents.revoke_consent(other_patient, ConsentPurpose.CARE)
    assert list(similar_spaces.missing(newer)) == [own]


def test_a_search_from_before_does_not_outlive_care(patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    assert analysis.model_version is not None
    atlas(analysis.model_version, 0.2)
    search = SimilarSearch(
        owner=patient,
        analysis=analysis,
        kind="chest_xray",
        state="done",
        space=VectorSpace.objects.get(),
        vector=vector(0).tolist(),
    )
    consents.give_consent(patient, ConsentPurpose.CARE)
    assert similar_page.found(search, visible_scans(patient), Filters()).others
    consents.revoke_consent(patient, ConsentPurpose.CARE)
    shown = similar_page.found(search, visible_scans(patient), Filters())
    assert not shown.others and "was taken back" in shown.why


def test_an_earlier_scan_says_what_its_newest_reading_said_and_that_a_doctor_looked(
    patient: Any, doctor: Any, as_user: Any
) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    earlier, scan = (ScanFactory.create(case__patient=patient) for _ in range(2))
    read(earlier, 0.1)
    newest = read(earlier, 0.2)
    newest.findings.filter(rank=0).update(condition="viral-pneumonia")
    read(scan)
    probe = Probe(
        VectorSpace.objects.get(), vector=vector(0).tolist(), patient_id=patient.pk, scan_id=scan.pk
    )
    (hit,) = neighbours(probe, visible_scans(patient)).own
    assert (hit.analysis_id, hit.condition, hit.is_reviewed) == (newest.pk, "viral-pneumonia", False)
    reviewed.sign(newest, doctor)
    (hit,) = neighbours(probe, visible_scans(patient)).own
    assert hit.is_reviewed
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    assert "A doctor has reviewed that scan" in as_user(patient).get(address).text


def test_after_a_roll_back_a_scan_is_compared_by_its_reading_from_before(patient: Any, as_user: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    reference = atlas(read(scan).model_version, 0.1)
    newer = rows.model_version(active=False, digit="b")
    rows.reading(scan, model_version=newer)  # the newest answer, without a vector in the space in use
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    assert reverse("inference:similar_picture", args=[reference.pk]) in as_user(patient).get(address).text
    body = {"analysis": str(scan.analyses.get(model_version=newer).pk)}
    answer = as_user(patient).post("/api/v1/similar/", body, content_type="application/json").json()
    assert len(answer["similar"]) == 1 and answer["note"] == ""
