"""Searches with a picture that is not kept and with a region: done by a worker, forgotten soon after."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from accounts.models import AccessLog
from inference import similar_embedding, similar_searches, similar_tasks
from inference.models import Analysis, ModelVersion, SimilarSearch
from inference.similar_models import SimilarSearch as Search
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows
from tests.inference.pictures import picture
from tests.inference.test_similar_search import atlas, read

pytestmark = pytest.mark.django_db
SEARCH = "/similar/"


def drawn(grade: str = "4", seed: int = 77) -> SimpleUploadedFile:
    """A drawn knee as an upload."""
    out = io.BytesIO()
    Image.fromarray(picture("knee_xray", grade, seed).astype(np.uint8)).save(out, format="PNG")
    return SimpleUploadedFile("Mrs Example 1950.png", out.getvalue(), "image/png")


def kept_files(root: Path) -> list[Path]:
    """What lies in private storage of searches."""
    return [path for path in (root / "searches").rglob("*") if path.is_file()]


@pytest.fixture
def knees(models: Any, tmp_path: Path) -> Any:
    """An atlas of six drawn knees, read by the real tiny model."""
    folder = tmp_path / "knee_xray"
    folder.mkdir()
    lines = ["file,label,group,age_group,licence,source"]
    for number in range(6):
        grade, age = ("0", "adult") if number < 3 else ("4", "child")
        Image.fromarray(picture("knee_xray", grade, number).astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{grade},p{number},{age},CC BY 4.0,Set")
    (folder / "manifest.csv").write_text("\n".join(lines))
    call_command("import_atlas", str(folder / "manifest.csv"), stdout=io.StringIO(), stderr=io.StringIO())
    return models["knee_xray"]


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No worker takes anything."""
    monkeypatch.setattr(similar_searches, "_send", lambda search_id: None)
    yield


def test_a_worker_answers_and_nothing_is_kept(
    knees: Any, as_user: Any, patient: Any, run_tasks: Any, private_root: Path, caplog: Any
) -> None:
    client = as_user(patient)
    sent: list[Any] = []
    with run_tasks() as callbacks:
        sent = callbacks
        answer = client.post(SEARCH, {"files": drawn(), "kind": "knee_xray"})
        # Until a worker comes: under way, one file, no name of the sender's.
        search = Search.objects.get()
        assert answer.headers["Location"] == reverse("inference:similar_found", args=[search.pk])
        assert [path.name for path in kept_files(private_root)] == ["000000"]
        page = client.get(answer.headers["Location"])
        assert "Waiting for a free reader" in page.content.decode()
        wait = reverse("inference:similar_wait", args=[search.pk])
        assert "hx-get" in client.get(wait).content.decode()
        assert client.get(wait, {"seen": "queued"}).status_code == 204
    assert sent
    search.refresh_from_db()
    assert (search.state, search.files, search.attempt) == ("done", [], 1)
    assert not kept_files(private_root) and not list((private_root / "searches").rglob("*/*"))
    assert "Mrs" not in str(Search.objects.values()) + caplog.text
    assert client.get(wait).headers["HX-Refresh"] == "true"
    text = client.get(answer.headers["Location"]).content.decode()
    assert text.count('class="card similar-hit"') == 6 and "is deleted" in text
    assert AccessLog.objects.filter(action="search_similar_upload", object_id=search.pk).exists()

    # Filters on the page.
    here = reverse("inference:similar_found", args=[search.pk])
    text = client.get(here, {"filtered": 1, "age_band": "child"}).content.decode()
    assert text.count('class="card similar-hit"') == 3
    text = client.get(here, {"filtered": 1, "condition": "knee-oa-2"}).content.decode()
    assert "No known case fits what you chose." in text and "similar-hit" not in text
    assert client.get(here, {"filtered": 1, "source": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"hello", "alert-warning"), (None, "alert-warning")],
)
def test_what_is_refused_says_why(
    knees: Any,
    as_user: Any,
    patient: Any,
    run_tasks: Any,
    private_root: Path,
    content: bytes | None,
    words: str,
) -> None:
    """Bytes that are no picture; and a coloured photo, which the gate refuses."""
    if content is None:
        from tests.e2e.inputs import holiday_photo

        content = holiday_photo(private_root / "p.png").read_bytes()
    file = SimpleUploadedFile("a.png", content, "image/png")
    with run_tasks():
        answer = as_user(patient).post(SEARCH, {"files": file})
    search = Search.objects.get()
    assert search.state == "failed" and search.reason and not kept_files(private_root)
    text = as_user(patient).get(answer.headers["Location"]).content.decode()
    assert words in text and "This was not searched." in text and "similar-hit" not in text


def test_a_wrong_anatomy_and_an_empty_atlas_say_so(
    knees: Any, as_user: Any, patient: Any, run_tasks: Any
) -> None:
    with run_tasks():
        as_user(patient).post(SEARCH, {"files": drawn(), "kind": "brain_mri"})
    assert Search.objects.get().state == "failed"
    Search.objects.all().delete()
    from inference.models import ReferenceImage, VectorSpace

    ReferenceImage.objects.all().delete()
    VectorSpace.objects.all().delete()
    with run_tasks():
        as_user(patient).post(SEARCH, {"files": drawn()})
    search = Search.objects.get()
    assert search.reason_code == "empty_atlas" and "import_atlas" in search.reason


def test_nothing_sent_is_refused_at_once(as_user: Any, patient: Any) -> None:
    answer = as_user(patient).post(SEARCH, {})
    assert answer.status_code == 400 and "alert-danger" in answer.content.decode()
    answer = as_user(patient).post(SEARCH, {"files": drawn(), "source": "x"})
    assert answer.status_code == 400 and not Search.objects.exists()
    answer = as_user(patient).post(SEARCH, {"files": drawn(), "condition": "a\x00b"})
    assert answer.status_code == 400 and not Search.objects.exists()
    assert as_user(patient).put(SEARCH).status_code == 405


@pytest.fixture
def nothing_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own upload handler would fail."""
    monkeypatch.setattr(TemporaryFileUploadHandler, "new_file", None)


@pytest.mark.usefixtures("nothing_on_disk")
def test_an_upload_over_the_limit_is_written_nowhere(
    as_user: Any, patient: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PMI_MAX_UPLOAD_BYTES = 10
    page = as_user(patient).post(SEARCH, {"files": drawn(), "kind": "knee_xray"})
    assert page.status_code == 413 and "larger than" in page.text
    monkeypatch.setattr("cases.uploads.ENVELOPE_BYTES", 0)
    monkeypatch.setattr("cases.uploads.spooling", None)  # would fail if it were reached
    page = as_user(patient).post(SEARCH, {"files": drawn()})
    assert page.status_code == 413 and "larger than" in page.text
    assert not Search.objects.exists()


@pytest.mark.usefixtures("nothing_on_disk")
def test_a_search_over_the_limit_of_searches_is_written_nowhere(
    as_user: Any, patient: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.similar_page.SEARCHES_PER_MINUTE", 0)
    page = as_user(patient).post(SEARCH, {"files": drawn()})
    assert page.status_code == 429 and "You have searched very often" in page.text


def test_what_was_chosen_is_kept_when_files_are_refused(as_user: Any, patient: Any, models: Any) -> None:
    page = as_user(patient).post(SEARCH, {"kind": "knee_xray", "age_band": "child"})
    assert page.status_code == 400
    assert page.context["kind"] == "knee_xray" and page.context["form"].chosen.age_band == "child"


def test_the_reason_is_in_the_askers_language(
    as_user: Any, patient: Any, run_tasks: Any, models: Any
) -> None:
    client = as_user(patient)
    client.post(reverse("set_language"), {"language": "es"})
    with run_tasks():
        client.post(SEARCH, {"files": SimpleUploadedFile("a.png", b"x", "image/png")})
    search = Search.objects.get()
    assert search.language == "es" and search.state == "failed"


def test_searches_belong_to_whoever_asked(
    as_user: Any, patient: Any, other_patient: Any, doctor: Any, admin_user: Any, stopped: None, api_as: Any
) -> None:
    as_user(patient).post(SEARCH, {"files": drawn()})
    pk = Search.objects.get().pk
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    for name in ("inference:similar_found", "inference:similar_wait"):
        address = reverse(name, args=[pk])
        assert as_user(patient).get(address).status_code == 200
        assert as_user(other_patient).get(address).status_code == 404
        assert as_user(doctor).get(address).status_code == 404, "a search is not part of the record"
        assert as_user(admin_user).get(address).status_code == 403
        assert as_user(None).get(address).status_code == 302
        assert as_user(patient).post(address).status_code == 405
        assert as_user(patient).get(reverse(name, args=[rows.model_version().pk])).status_code == 404
        ModelVersion.objects.all().delete()
    assert as_user(None).get(address, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    address = f"/api/v1/similar/{pk}/"
    assert api_as(patient).get(address).json()["state"] == "queued"
    assert api_as(other_patient).get(address).status_code == 404
    assert api_as(admin_user).get(address).status_code == 403
    assert api_as(None).get(address).status_code == 401
    assert api_as(patient).delete(address).status_code == 405
    assert api_as(patient).get("/api/v1/similar/nonsense/").status_code == 404


def test_the_api_answers_uploads_by_an_address_to_poll(
    knees: Any, api_as: Any, patient: Any, run_tasks: Any, private_root: Path
) -> None:
    client = api_as(patient)
    body = {"files": drawn(), "anatomy": "knee_xray", "age_band": "child", "k": 2}
    with run_tasks():
        answer = client.post("/api/v1/similar/", body, format="multipart")
        assert answer.status_code == 202 and answer.json()["state"] == "queued"
        assert answer.json()["answer"] is None
    address = answer.headers["Location"]
    assert address == answer.json()["url"] and answer.headers["Retry-After"] == "1"
    done = client.get(address).json()
    assert done["state"] == "done" and not kept_files(private_root)
    assert [hit["age_band"] for hit in done["answer"]["similar"]] == ["child", "child"]
    assert done["answer"]["kind"] == "knee_xray"
    with run_tasks():
        bad = client.post(
            "/api/v1/similar/", {"files": SimpleUploadedFile("x", b"x")}, format="multipart"
        ).json()
    failed = client.get(bad["url"]).json()
    assert failed["state"] == "failed" and failed["code"] and failed["detail"] and not failed["answer"]


def test_another_anatomy_than_the_readings_is_refused(api_as: Any, patient: Any) -> None:
    analysis = read(ScanFactory.create(case__patient=patient))
    atlas(analysis.model_version, 0.1)
    body = {"analysis": str(analysis.pk), "anatomy": "knee_xray"}
    assert api_as(patient).post("/api/v1/similar/", body).json()["code"] == "other_anatomy"
    assert api_as(patient).post("/api/v1/similar/", body | {"anatomy": "chest_xray"}).status_code == 200


@pytest.fixture
def knee_reading(knees: Any, patient: Any, monkeypatch: pytest.MonkeyPatch) -> Analysis:
    """A patient's (tiny) film that the knee model is said to have read."""
    monkeypatch.setattr(similar_embedding, "SMALLEST_REGION", 2)
    from inference.models import Embedding
    from inference.similar_spaces import space_of

    scan = ScanFactory.create(case__patient=patient, case__kind="knee_xray")
    analysis = rows.reading(scan, kind="knee_xray", model_version=knees)
    dims = space_of(knees).dims or 1
    Embedding.objects.create(analysis=analysis, model_version=knees, vector=[1.0] * dims)
    return analysis


def test_a_region_is_searched_by_a_worker(
    knee_reading: Analysis, as_user: Any, patient: Any, doctor: Any, other_patient: Any, run_tasks: Any
) -> None:
    scan = knee_reading.scan
    address = reverse("inference:similar_region", args=[scan.case_id, scan.pk])
    client = as_user(patient)
    assert client.get(address).status_code == 200
    for text in ("", "1,2", "0,0,2,2x", "a,b,c,d", "nan,0,1,1", "0,0,inf,1", "0,0,2,1", "-0.1,0,1,1"):
        assert client.post(address, {"region": text}).status_code == 400
    assert not Search.objects.exists()
    with run_tasks():
        answer = client.post(address, {"region": "0,0,1,1"})
        search = Search.objects.get()
        assert answer.headers["Location"] == f"{address}?search={search.pk}"
        assert "Waiting for a free reader" in client.get(answer.headers["Location"]).content.decode()
    text = client.get(answer.headers["Location"]).content.decode()
    assert text.count('class="card similar-hit"') == 6 and "Side by side" in text
    filtered = client.get(address, {"search": search.pk, "filtered": 1, "age_band": "adult"})
    assert filtered.content.decode().count('class="card similar-hit"') == 3
    found = reverse("inference:similar_found", args=[search.pk])
    assert client.get(found).headers["Location"] == answer.headers["Location"]
    # A worker tells when the box is too small or outside.
    for text, code in (("0,0,0.001,0.001", "small_region"), ("0.5,0.5,0.9,0.9", "bad_region")):
        with run_tasks():
            client.post(address, {"region": text})
        assert Search.objects.first().reason_code == code

    # A doctor of the patient may search too; nobody else, and nobody with another's search.
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    assert as_user(doctor).get(f"{address}?search={search.pk}").status_code == 404
    with run_tasks():
        answer = as_user(doctor).post(address, {"region": "0,0,1,1"})
    assert "similar-hit" in as_user(doctor).get(answer.headers["Location"]).content.decode()
    assert as_user(other_patient).get(address).status_code == 404
    assert as_user(other_patient).post(address, {"region": "0,0,1,1"}).status_code == 404
    assert client.get(f"{address}?search=nonsense").status_code == 404
    # A grant that ended closes the doctor's own search as well.
    from accounts.models import CareRelationship

    CareRelationship.objects.update(revoked_at=timezone.now())
    assert as_user(doctor).get(answer.headers["Location"]).status_code == 404


def test_the_api_searches_by_region(
    knee_reading: Analysis, api_as: Any, patient: Any, doctor: Any, run_tasks: Any
) -> None:
    from accounts.models import CareRelationship

    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    with run_tasks():
        body = {"analysis": str(knee_reading.pk), "region": "0,0,1,1"}
        answer = api_as(doctor).post("/api/v1/similar/", body)
        assert answer.status_code == 202
    address = answer.headers["Location"]
    assert len(api_as(doctor).get(address).json()["answer"]["similar"]) == 6
    CareRelationship.objects.update(revoked_at=timezone.now())
    assert api_as(doctor).get(address).status_code == 404


# --- trouble ------------------------------------------------------------------------------------------------


def queued(patient: Any, as_user: Any) -> Search:
    as_user(patient).post(SEARCH, {"files": drawn()})
    return Search.objects.get()


def test_a_passing_fault_is_tried_again_and_then_told(
    models: Any, as_user: Any, patient: Any, stopped: None, monkeypatch: Any, private_root: Path
) -> None:
    search = queued(patient, as_user)
    monkeypatch.setattr(similar_embedding, "probe_of_files", lambda *args: (_ for _ in ()).throw(OSError))
    for attempt in (1, 2):
        similar_tasks.run_search(str(search.pk))
        search.refresh_from_db()
        assert (search.state, search.attempt) == ("queued", attempt) and kept_files(private_root)
    similar_tasks.run_search(str(search.pk))
    search.refresh_from_db()
    assert (search.state, search.reason_code) == ("failed", "unavailable") and not kept_files(private_root)
    similar_tasks.run_search(str(search.pk))
    search.refresh_from_db()
    assert search.attempt == 3, "a message that comes twice does nothing"


def test_an_unknown_fault_is_told_without_its_text(
    models: Any, as_user: Any, patient: Any, stopped: None, monkeypatch: Any, caplog: Any
) -> None:
    search = queued(patient, as_user)

    def broken(*args: Any) -> None:
        raise RuntimeError("Mrs Example")

    monkeypatch.setattr(similar_embedding, "probe_of_files", broken)
    similar_tasks.run_search(str(search.pk))
    search.refresh_from_db()
    assert search.reason_code == "internal_error" and "Mrs" not in caplog.text + search.reason


def test_a_dead_workers_search_goes_to_another_and_its_late_answer_does_not_count(
    as_user: Any, patient: Any, stopped: None, private_root: Path
) -> None:
    search = queued(patient, as_user)
    dead = similar_searches.claim(search.pk)
    assert dead is not None and similar_searches.claim(search.pk) is None
    Search.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    similar_tasks.sweep_searches()
    living = similar_searches.claim(search.pk)
    assert living is not None and living.attempt == 2
    similar_searches.refuse(dead, "late", "Too late.")
    search.refresh_from_db()
    assert search.state == "running" and kept_files(private_root)
    Search.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1), attempt=3)
    similar_tasks.sweep_searches()
    search.refresh_from_db()
    assert search.state == "failed" and not kept_files(private_root)


def test_old_searches_are_forgotten_with_their_files(
    as_user: Any,
    patient: Any,
    stopped: None,
    private_root: Path,
    django_capture_on_commit_callbacks: Any,
    monkeypatch: Any,
) -> None:
    search = queued(patient, as_user)
    sent: list[Any] = []
    monkeypatch.setattr(similar_searches, "_send", sent.append)
    similar_tasks.sweep_searches()
    assert not sent
    Search.objects.update(updated_at=timezone.now() - timedelta(minutes=1))
    similar_tasks.sweep_searches()
    assert sent == [search.pk], "a lost message is sent again"
    Search.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    similar_tasks.sweep_searches()
    search.refresh_from_db()
    assert search.state == "failed" and not kept_files(private_root)
    Search.objects.update(created_at=timezone.now() - timedelta(minutes=31))
    with django_capture_on_commit_callbacks(execute=True):
        similar_tasks.sweep_searches()
    assert not Search.objects.exists()


def test_deleting_an_account_takes_what_was_sent_along(
    as_user: Any, patient: Any, stopped: None, private_root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    from inference.rights import folders

    search = queued(patient, as_user)
    assert any(str(search.pk) in folder for folder in folders(patient.pk))
    with django_capture_on_commit_callbacks(execute=True):
        search.delete()
    assert not kept_files(private_root)


def test_an_interrupted_upload_leaves_nothing(
    as_user: Any, patient: Any, monkeypatch: Any, private_root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    from cases.storage import PrivateStorage

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left")

    monkeypatch.setattr(PrivateStorage, "save", full)
    with pytest.raises(OSError, match="No space"), django_capture_on_commit_callbacks(execute=True):
        as_user(patient).post(SEARCH, {"files": drawn()})
    assert not SimilarSearch.objects.exists() and not kept_files(private_root)


def test_a_search_of_a_retired_model_is_not_compared(
    knees: Any, as_user: Any, patient: Any, run_tasks: Any
) -> None:
    with run_tasks():
        answer = as_user(patient).post(SEARCH, {"files": drawn()})
    ModelVersion.objects.filter(pk=knees.pk).update(is_active=False)
    page = as_user(patient).get(answer.headers["Location"])
    assert page.status_code == 400 and "The model was just changed" in page.content.decode()


# --- filters of the result page -----------------------------------------------------------------------------


def test_filters_on_the_result_page_and_in_the_reading_room(
    as_user: Any, patient: Any, doctor: Any, monkeypatch: Any
) -> None:
    scan = ScanFactory.create(case__patient=patient)
    analysis = read(scan)
    version = analysis.model_version
    assert version is not None
    version.metadata = {
        "labels": [{"name": n, "condition": n} for n in ("pneumonia", "viral-pneumonia")],
    }
    version.save()
    for angle in (0.1, 0.2, 0.3, 0.4):
        atlas(version, angle)
    child = atlas(version, 0.5, condition="viral-pneumonia", age_band="child")
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    for name in ("inference:scan_result", "inference:reading_room"):
        address = reverse(name, args=[scan.case_id, scan.pk])
        client = as_user(doctor)
        text = client.get(address).content.decode()
        assert text.count('class="card similar-hit"') == 5
        assert '<option value="viral-pneumonia">' in text and "All these cases are: Chest X-ray." in text
        for query in ({"age_band": "child"}, {"condition": "viral-pneumonia"}):
            text = client.get(address, query).content.decode()
            assert text.count('class="card similar-hit"') == 1 and str(child.pk) in text
            assert "in use" in text and "Look twice" not in text
        assert "No known case fits" in client.get(address, {"source": "platform"}).content.decode()
        wrong = client.get(address, {"age_band": "old"}).content.decode()
        assert wrong.count('class="card similar-hit"') == 5 and "alert-danger" in wrong
    monkeypatch.setattr("inference.similar_page.SEARCHES_PER_MINUTE", 1)
    assert "searched very often" in client.get(address, {"age_band": "child"}).content.decode()
