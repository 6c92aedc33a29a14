"""Similar cases: who is found, who sees it, and what a revoked consent takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import AccessLog, Consent
from accounts.services import create_token
from cases.selectors import visible_scans
from inference import similar_services, similar_spaces
from inference.engine import Reader
from inference.models import (
    Analysis,
    Embedding,
    ModelVersion,
    ReferenceImage,
    ReferenceVector,
    VectorSpace,
)
from inference.similar_selectors import Filters, Probe, neighbours
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference import reviewed

pytestmark = pytest.mark.django_db
DIMS = 7
PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"


def vector(angle: float, dims: int = DIMS) -> np.ndarray:
    """A unit vector `angle` away from the first axis."""
    made = np.zeros(dims, dtype=np.float32)
    made[0], made[1] = np.cos(angle), np.sin(angle)
    return made


def read(scan: Any, angle: float = 0.0, **fields: Any) -> Analysis:
    analysis = rows.reading(scan, heat=True, **fields)
    version = analysis.model_version
    assert version is not None
    Embedding.objects.create(analysis=analysis, model_version=version, vector=vector(angle).tolist())
    similar_spaces.set_dims(similar_spaces.space_of(analysis.model_version), DIMS)
    return analysis


def atlas(version: ModelVersion, angle: float, *, showable: bool = True, **fields: Any) -> ReferenceImage:
    count = ReferenceImage.objects.count()
    reference = ReferenceImage(
        **{
            "kind": version.kind,
            "source": "atlas",
            "condition": "pneumonia",
            "key": str(count),
            "collection": "Kermany 2018",
            "licence": "CC BY 4.0",
            "showable": showable,
            **fields,
        }
    )
    reference.picture.save("picture.png", ContentFile(PNG), save=False)
    reference.save()
    similar_spaces.store_vectors(similar_spaces.space_of(version), [(reference, vector(angle))])
    return reference


def page(client: Any, scan: Any) -> str:
    response = client.get(reverse("inference:scan_result", args=[scan.case_id, scan.pk]))
    assert response.status_code == 200
    return str(response.content.decode())


def picture_of(client: Any, reference: ReferenceImage) -> int:
    return int(client.get(reverse("inference:similar_picture", args=[reference.pk])).status_code)


@pytest.fixture
def confirmed(other_patient: Any, doctor: Any) -> Analysis:
    """A reading of another patient, which their doctor confirmed."""
    CareRelationshipFactory.create(patient=other_patient, doctor=doctor)
    analysis = read(ScanFactory.create(case__patient=other_patient), 0.1)
    reviewed.sign(analysis, doctor)
    similar_services.follow_reviews(analysis.scan_id)
    return analysis


def test_one_statement_finds_atlas_and_own_scans(patient: Any, django_assert_num_queries: Any) -> None:
    earlier = ScanFactory.create(case__patient=patient)
    read(earlier, 0.3)
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    near, far = atlas(analysis.model_version, 0.2), atlas(analysis.model_version, 1.2)
    space = VectorSpace.objects.get()
    probe = Probe(space, analysis_id=analysis.pk, patient_id=patient.pk, scan_id=scan.pk)
    with django_assert_num_queries(1):
        hits = neighbours(probe, visible_scans(patient))
    assert [hit.reference_id for hit in hits.others] == [near.pk, far.pk]
    assert [hit.scan_id for hit in hits.own] == [earlier.pk]
    assert hits.others[0].distance == pytest.approx(1 - np.cos(0.2), abs=1e-3)


def test_a_result_page_searches_once_and_runs_no_model(
    patient: Any, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = ScanFactory.create(case__patient=patient)
    reference = atlas(read(scan).model_version, 0.2)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a model was asked")

    monkeypatch.setattr(Reader, "__init__", refuse)
    monkeypatch.setattr(Reader, "run", refuse)
    client = as_user(patient)
    with CaptureQueriesContext(connection) as sent:
        shown = page(client, scan)
    assert reverse("inference:similar_picture", args=[reference.pk]) in shown
    assert sum("<=>" in query["sql"] for query in sent.captured_queries) == 1


def test_filters_narrow_the_search(patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    version = analysis.model_version
    child = atlas(version, 0.5, age_band="child", condition="viral-pneumonia")
    atlas(version, 0.1)
    probe = Probe(VectorSpace.objects.get(), vector=vector(0).tolist())
    for filters in (Filters(age_band="child"), Filters(condition="viral-pneumonia")):
        assert [h.reference_id for h in neighbours(probe, visible_scans(patient), filters).others] == [
            child.pk
        ]
    assert not neighbours(probe, visible_scans(patient), Filters(source="platform")).others


def test_spaces_are_never_mixed(patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    reference = atlas(analysis.model_version, 0.1)
    newer = rows.model_version(active=False, digit="b")
    similar_spaces.store_vectors(similar_spaces.space_of(newer), [(reference, vector(0.1, 5))])
    old, new = VectorSpace.objects.get(dims=DIMS), VectorSpace.objects.get(dims=5)
    assert len(neighbours(Probe(old, vector=vector(0).tolist()), visible_scans(patient)).others) == 1
    assert len(neighbours(Probe(new, vector=vector(0, 5).tolist()), visible_scans(patient)).others) == 1
    with pytest.raises(ValueError, match="dimensions"):
        similar_spaces.set_dims(old, 5)


def test_a_retired_reading_shows_no_neighbours(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    atlas(analysis.model_version, 0.1)
    assert "Known cases that look most like this one" in page(as_user(patient), scan)
    ModelVersion.objects.update(is_active=False)
    assert "Known cases that look most like this one" not in page(as_user(patient), scan)


def test_an_empty_atlas_says_so(as_user: Any, api_as: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    assert "There are no known cases to compare with yet." in page(as_user(patient), scan)
    answer = api_as(patient).post("/api/v1/similar/", {"analysis": str(analysis.pk)})
    assert answer.status_code == 200 and not answer.json()["similar"]
    assert "import_atlas" in answer.json()["note"]


def test_consent_releases_and_revoking_removes_at_once(
    as_user: Any,
    patient: Any,
    other_patient: Any,
    confirmed: Analysis,
    private_root: Path,
    run_tasks: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    scan = ScanFactory.create(case__patient=patient)
    read(scan)
    assert not ReferenceImage.objects.exists(), "confirmed, but nobody agreed"
    giver = as_user(other_patient)
    with run_tasks():
        assert giver.post(reverse("accounts:consent"), {"answer": "give"}).status_code == 302
        assert not ReferenceImage.objects.exists(), "nobody waits for pictures to be cut"
    reference = ReferenceImage.objects.get()
    text = page(as_user(patient), scan)
    assert f"/similar/{reference.pk}/" in text
    assert picture_of(as_user(patient), reference) == 200
    for secret in (other_patient.full_name, other_patient.email, str(confirmed.scan_id), str(confirmed.pk)):
        assert secret not in text
    assert list(private_root.glob("references/**/*.png"))
    with django_capture_on_commit_callbacks(execute=True):
        giver.post(reverse("accounts:consent"), {"answer": "revoke"})
    assert not ReferenceVector.objects.exists() and not ReferenceImage.objects.exists()
    assert not list(private_root.glob("references/**/*.png"))
    assert f"/similar/{reference.pk}/" not in page(as_user(patient), scan)
    assert picture_of(as_user(patient), reference) == 404
    assert Consent.objects.get().revoked_at is not None


def test_a_consent_that_ended_hides_rows_that_are_still_there(
    agrees: Any, as_user: Any, patient: Any, other_patient: Any, confirmed: Analysis
) -> None:
    agrees(other_patient)
    reference = ReferenceImage.objects.get()
    Consent.objects.all().delete()
    probe = Probe(VectorSpace.objects.get(), vector=vector(0).tolist())
    assert not neighbours(probe, visible_scans(patient)).others
    assert picture_of(as_user(patient), reference) == 404


def test_own_released_scans_are_not_shown_as_other_peoples(
    agrees: Any, other_patient: Any, confirmed: Analysis
) -> None:
    agrees(other_patient)
    probe = Probe(VectorSpace.objects.get(), vector=vector(0).tolist(), patient_id=other_patient.pk)
    hits = neighbours(probe, visible_scans(other_patient))
    assert not hits.others and [hit.scan_id for hit in hits.own] == [confirmed.scan_id]


def test_own_scans_of_others_never_show(patient: Any, other_patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=other_patient), 0.1)
    probe = Probe(VectorSpace.objects.get(), analysis_id=analysis.pk, patient_id=other_patient.pk)
    assert not neighbours(probe, visible_scans(patient)).own


def test_label_only_pictures_are_never_served(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    hidden = atlas(analysis.model_version, 0.1, showable=False, condition="covid-19-pneumonia")
    text = page(as_user(patient), scan)
    assert "The picture may not be shown here" in text and str(hidden.pk) not in text
    assert picture_of(as_user(patient), hidden) == 404
    address = reverse("inference:similar_compare", args=[scan.case_id, scan.pk, hidden.pk])
    assert as_user(patient).get(address).status_code == 404


def test_who_may_see_a_reference_picture(
    as_user: Any, patient: Any, admin_user: Any, unverified_doctor: Any, doctor: Any
) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    reference = atlas(analysis.model_version, 0.1)
    assert picture_of(as_user(patient), reference) == 200
    assert picture_of(as_user(doctor), reference) == 200
    assert picture_of(as_user(None), reference) == 302
    assert picture_of(as_user(admin_user), reference) == 403
    assert picture_of(as_user(unverified_doctor), reference) == 403
    assert AccessLog.objects.filter(action="view_reference_picture").count() == 2


def test_who_may_compare(as_user: Any, patient: Any, other_patient: Any, doctor: Any) -> None:
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    reference = atlas(analysis.model_version, 0.1)
    address = reverse("inference:similar_compare", args=[scan.case_id, scan.pk, reference.pk])
    assert as_user(patient).get(address).status_code == 200
    assert as_user(other_patient).get(address).status_code == 404
    assert as_user(doctor).get(address).status_code == 404
    assert as_user(patient).post(address).status_code == 405
    foreign = ScanFactory.create(case__patient=other_patient)
    own = reverse("inference:similar_compare_own", args=[scan.case_id, scan.pk, foreign.pk])
    assert as_user(patient).get(own).status_code == 404


def test_two_patients_of_one_doctor_are_not_compared(
    as_user: Any, patient: Any, other_patient: Any, doctor: Any
) -> None:
    scan, earlier = (ScanFactory.create(case__patient=patient) for _number in range(2))
    foreign = ScanFactory.create(case__patient=other_patient)
    for person in (patient, other_patient):
        CareRelationshipFactory.create(patient=person, doctor=doctor)
    client = as_user(doctor)
    assert client.get(reverse("cases:scan_preview", args=[foreign.case_id, foreign.pk])).status_code == 200
    own, wrong = (
        reverse("inference:similar_compare_own", args=[scan.case_id, scan.pk, other.pk])
        for other in (earlier, foreign)
    )
    assert client.get(own).status_code == 200
    assert client.get(wrong).status_code == 404
    assert AccessLog.objects.get(action="compare_own").object_id == earlier.pk


def test_neighbours_that_disagree_are_told_to_the_doctor_only(
    as_user: Any, patient: Any, doctor: Any
) -> None:
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    for angle in (0.1, 0.2, 0.3, 0.4, 0.5):
        atlas(analysis.model_version, angle, condition="no-chest-finding")
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert "Look twice" in page(as_user(doctor), scan)
    assert "Look twice" not in page(as_user(patient), scan)
    analysis.refresh_from_db()
    assert analysis.danger == "urgent"


def test_the_api_searches_by_reading(api_as: Any, patient: Any, other_patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    shown, hidden = (
        atlas(analysis.model_version, 0.1),
        atlas(analysis.model_version, 0.2, showable=False),
    )
    body = {"analysis": str(analysis.pk)}
    answer = api_as(patient).post("/api/v1/similar/", body)
    assert answer.status_code == 200
    first, second = answer.json()["similar"]
    assert str(shown.pk) in first["picture_url"] and second["picture_url"] is None
    assert str(hidden.pk) not in answer.content.decode()
    assert api_as(other_patient).post("/api/v1/similar/", body).status_code == 404
    assert api_as(None).post("/api/v1/similar/", body).status_code == 401
    assert api_as(patient).post("/api/v1/similar/", {}).json()["code"] == "nothing_asked"
    assert api_as(patient).post("/api/v1/similar/", {**body, "source": "x"}).status_code == 400
    assert api_as(patient).get("/api/v1/similar/").status_code == 405


def test_a_token_opens_the_pictures_that_the_api_names(patient: Any) -> None:
    """The addresses of the pages would send a program to the login."""
    own = read(ScanFactory.create(case__patient=patient), 0.3)
    analysis = read(ScanFactory.create(case__patient=patient))
    reference = atlas(analysis.model_version, 0.1)
    reference.heatmap.save("heatmap.png", ContentFile(PNG + b", with heat"), save=True)
    _token, key = create_token(patient, "a program")
    client = APIClient(headers={"Authorization": f"Token {key}"})
    found = client.post(reverse("v1:similar-list"), {"analysis": str(analysis.pk)}).json()
    (hit,), (earlier,) = found["similar"], found["own_earlier"]
    assert earlier["scan"] == str(own.scan_id)
    for address in (hit["picture_url"], hit["heatmap_url"], earlier["picture_url"], earlier["heatmap_url"]):
        answer = client.get(address)
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/png"), address
        assert answer["Cache-Control"] == "private, no-store"
        assert b"".join(answer).startswith(b"\x89PNG")
        assert APIClient().get(address).status_code == 401
    assert b"".join(client.get(hit["picture_url"])) == PNG
    assert b"".join(client.get(hit["heatmap_url"], headers={"accept": "image/png"})).endswith(b"with heat")
    lines = AccessLog.objects.filter(action="view_reference_picture", object_id=reference.pk)
    assert lines.count() == 4


def test_the_apis_pictures_have_the_rules_of_the_pages(
    agrees: Any,
    api_as: Any,
    patient: Any,
    doctor: Any,
    admin_user: Any,
    unverified_doctor: Any,
    confirmed: Analysis,
) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    shown, hidden = atlas(analysis.model_version, 0.1), atlas(analysis.model_version, 0.2, showable=False)
    agrees(confirmed.scan.case.patient)
    released = ReferenceImage.objects.get(source="platform")

    def code(user: Any, reference: ReferenceImage, **query: Any) -> int:
        answer = api_as(user).get(reverse("v1:similar-picture", args=[reference.pk]), query)
        return int(answer.status_code)

    assert [code(who, shown) for who in (patient, doctor, admin_user, unverified_doctor, None)] == [
        200,
        200,
        403,
        403,
        401,
    ]
    assert code(patient, hidden) == 404 and code(patient, shown, heat=1) == 404
    assert code(patient, released) == 200
    Consent.objects.all().delete()
    assert code(patient, released) == 404
    assert AccessLog.objects.filter(action="view_reference_picture").count() == 3


def test_searches_are_limited(api_as: Any, patient: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.similar_page.SEARCHES_PER_MINUTE", 2)
    analysis = read(ScanFactory.create(case__patient=patient))
    answers = [api_as(patient).post("/api/v1/similar/", {"analysis": str(analysis.pk)}) for _ in "123"]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2].json()["code"], answers[2]["Retry-After"]) == ("too_many", "60")


def test_a_consent_is_the_patients_own(as_user: Any, patient: Any, doctor: Any) -> None:
    address = reverse("accounts:consent")
    assert as_user(patient).get(address).status_code == 200
    assert as_user(doctor).get(address).status_code == 403
    assert as_user(None).get(address).status_code == 302
    assert as_user(patient).post(address, {"answer": "x"}).status_code == 400
    for _ in "12":
        as_user(patient).post(address, {"answer": "give"})
    assert Consent.objects.count() == 1
