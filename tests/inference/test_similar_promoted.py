"""After a promotion: scans from before are looked at by the new version in the background, old readings are
compared in its space, and pages say what is still missing. Real, tiny models."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.urls import reverse
from PIL import Image

from accounts import consents
from accounts.models import ConsentPurpose
from cases.models import Scan
from inference import promotion, services, similar_embedding, similar_spaces, similar_tasks
from inference.models import Analysis, Embedding, ModelVersion, ReferenceImage, VectorSpace
from pmi_site.errors import UserError
from tests.inference.pictures import picture
from tests.inference.test_shadow import add_version
from tests.inference.test_similar_search import page

pytestmark = pytest.mark.django_db


@pytest.fixture
def second(models: Any, bundle_dir: Any) -> ModelVersion:
    return add_version(bundle_dir, "chest_xray", "2.0.0", "chest_two")


@pytest.fixture
def read_scan(models: Any, stored_scan: Any, run_tasks: Any) -> Any:
    """A stored scan of `patient` that was read: `read_scan(patient, "knee_xray", "3")`."""

    def make(patient: Any, *what: str) -> Scan:
        scan: Scan = stored_scan(*what, patient=patient)
        with run_tasks():
            services.request_analysis(scan.pk)
        return scan

    return make


def put_in_use(version: ModelVersion, admin: Any, before: ModelVersion) -> VectorSpace:
    promotion.promote(version, admin, before.pk)
    return VectorSpace.objects.get(model_version=version)


def known_case(version: ModelVersion) -> ReferenceImage:
    """A known case without a vector yet."""
    reference = ReferenceImage(
        kind=version.kind, source="atlas", condition="pneumonia", key="1", showable=True
    )
    png = BytesIO()
    Image.fromarray(picture("chest_xray", "pneumonia|viral", 3).astype(np.uint8)).save(png, "PNG")
    reference.picture.save("picture.png", ContentFile(png.getvalue()), save=False)
    reference.save()
    return reference


def test_earlier_scans_are_found_again(
    models: Any,
    second: ModelVersion,
    read_scan: Any,
    patient: Any,
    admin_user: Any,
    run_tasks: Any,
    as_user: Any,
) -> None:
    earlier, other = read_scan(patient), read_scan(patient, "knee_xray", "3")
    before = Analysis.objects.get(scan=earlier)
    assert before.status == "succeeded"
    with run_tasks():
        space = put_in_use(second, admin_user, models["chest_xray"])
    space.refresh_from_db()
    assert (space.scans_done, space.scans_total, space.scans_failed, space.state) == (1, 1, 0, "ready")
    assert Embedding.objects.filter(analysis=before).count() == 2
    assert Embedding.objects.filter(analysis__scan=other).count() == 1, "another model's scan"
    new = read_scan(patient)
    shown = page(as_user(patient), new)
    assert "Earlier scans of the same person" in shown and str(earlier.pk) in shown
    # What is there is not looked at again.
    vectors = set(Embedding.objects.values_list("pk", flat=True))
    with run_tasks():
        similar_tasks.fill_space.delay(str(second.pk))
    assert set(Embedding.objects.values_list("pk", flat=True)) == vectors


def test_an_old_reading_is_compared_in_the_new_space_once_it_was_looked_at(
    models: Any,
    second: ModelVersion,
    read_scan: Any,
    patient: Any,
    admin_user: Any,
    run_tasks: Any,
    as_user: Any,
) -> None:
    scan = read_scan(patient)
    reference = known_case(second)
    space = put_in_use(second, admin_user, models["chest_xray"])
    client, address = as_user(patient), reverse("inference:similar_picture", args=[reference.pk])
    api = {"analysis": str(Analysis.objects.get(scan=scan).pk)}
    shown = page(client, scan)
    assert address not in shown and "still being prepared" in shown
    assert "There are no known cases to compare with yet." not in shown
    answer = client.post("/api/v1/similar/", api, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "being_prepared")
    similar_spaces.store_vectors(space, [(reference, similar_embedding_of(second, reference))])
    similar_spaces.finish_space(space)
    shown = page(client, scan)
    assert address not in shown and "once it has looked at this scan, too" in shown
    answer = client.post("/api/v1/similar/", api, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "retired_space")
    with run_tasks():
        similar_tasks.fill_waiting_spaces()
    shown = page(client, scan)
    assert address in shown and "alert-info measure" not in shown
    answer = client.post("/api/v1/similar/", api, content_type="application/json")
    assert answer.status_code == 200 and len(answer.json()["similar"]) == 1 and answer.json()["note"] == ""
    assert answer.json()["model_version"] == str(second.pk)


def similar_embedding_of(version: ModelVersion, reference: ReferenceImage) -> Any:
    from inference.worker import engine_for_active_versions

    engine = engine_for_active_versions()
    reader = engine.reader(version.kind)
    assert reader is not None
    return similar_embedding._vector(engine, reader, reference)


def test_a_space_that_is_half_filled_says_so(
    models: Any, read_scan: Any, patient: Any, run_tasks: Any, as_user: Any
) -> None:
    scan = read_scan(patient)
    known_case(models["chest_xray"])
    VectorSpace.objects.update(state="filling")
    shown = page(as_user(patient), scan)
    assert "More will be found later." in shown and "There are no known cases" not in shown
    with run_tasks():
        similar_tasks.fill_waiting_spaces()
    assert "More will be found later." not in page(as_user(patient), scan)


def test_without_care_nothing_is_looked_at_and_the_page_says_why(
    models: Any,
    second: ModelVersion,
    read_scan: Any,
    patient: Any,
    doctor: Any,
    admin_user: Any,
    run_tasks: Any,
    as_user: Any,
) -> None:
    scan = read_scan(patient)
    consents.give_consent(patient, ConsentPurpose.CARE)
    consents.revoke_consent(patient, ConsentPurpose.CARE)
    with run_tasks():
        space = put_in_use(second, admin_user, models["chest_xray"])
    space.refresh_from_db()
    assert (space.scans_total, space.scans_failed) == (0, 0)
    assert not Embedding.objects.filter(model_version=second).exists()
    assert "this one is not compared with known cases" in page(as_user(patient), scan)


def test_care_that_ends_while_scans_are_looked_at_ends_it_at_once(
    models: Any,
    second: ModelVersion,
    read_scan: Any,
    patient: Any,
    admin_user: Any,
    run_tasks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(2):
        read_scan(patient)
    consents.give_consent(patient, ConsentPurpose.CARE)
    looked, look = [], similar_embedding._seen

    def seen(engine: Any, scan: Scan, kind: str) -> np.ndarray:
        looked.append(scan.pk)
        vector = look(engine, scan, kind)
        consents.revoke_consent(patient, ConsentPurpose.CARE)
        return vector

    monkeypatch.setattr(similar_embedding, "_seen", seen)
    with run_tasks():
        space = put_in_use(second, admin_user, models["chest_xray"])
    assert len(looked) == 1, "the second was not looked at"
    assert not Embedding.objects.filter(model_version=second).exists(), "nor the first one kept"
    space.refresh_from_db()
    assert (space.scans_done, space.scans_total, space.scans_failed) == (0, 0, 0)


def test_a_scan_that_cannot_be_read_is_counted_and_left(
    models: Any,
    second: ModelVersion,
    read_scan: Any,
    patient: Any,
    admin_user: Any,
    run_tasks: Any,
    as_user: Any,
    private_root: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, whole = read_scan(patient), read_scan(patient)
    (private_root / Scan.objects.get(pk=broken.pk).canonical.name).write_bytes(b"x")
    with run_tasks():
        space = put_in_use(second, admin_user, models["chest_xray"])
    space.refresh_from_db()
    assert (space.scans_done, space.scans_total, space.scans_failed) == (1, 2, 1)
    assert Embedding.objects.filter(model_version=second, analysis__scan=whole).count() == 1
    assert "Have the scan read again" in page(as_user(patient), broken)
    asked: list[Any] = []
    monkeypatch.setattr(similar_spaces, "request_filling", asked.append)
    similar_tasks.fill_waiting_spaces()
    assert second not in asked, "it was tried"


def test_a_search_in_a_space_that_has_nothing_yet_says_so(models: Any) -> None:
    from inference.similar_selectors import space_to_search

    with pytest.raises(UserError) as caught:
        space_to_search("chest_xray")
    assert caught.value.code == "empty_atlas"
    known_case(models["chest_xray"])
    with pytest.raises(UserError) as caught:
        space_to_search("chest_xray")
    assert caught.value.code == "being_prepared"
