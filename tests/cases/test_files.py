"""The private files: who gets them, with which headers, and that it is written down."""

import io
import uuid

import nibabel as nib
import pytest
from django.urls import reverse
from PIL import Image

from tests import factories
from tests.cases.conftest import actions

pytestmark = pytest.mark.django_db
VIEWS = {
    "scan_volume": ("view_scan_volume", "application/gzip"),
    "scan_preview": ("view_scan_preview", "image/png"),
    "scan_slice": ("view_scan_slice", "image/png"),
    "scan_original": ("download_scan_original", "image/png"),
}


def url_of(name, scan) -> str:
    return reverse(f"cases:{name}", args=[scan.case_id, scan.pk])


@pytest.mark.parametrize("name", VIEWS)
def test_owner_and_doctor_get_it_and_it_is_logged(name, as_user, patient, reader, scan):
    action, content_type = VIEWS[name]
    for user in (patient, reader):
        response = as_user(user).get(url_of(name, scan))
        assert response.status_code == 200
        assert response["Content-Type"] == content_type
        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert "Content-Encoding" not in response
        assert response.getvalue()
    assert actions(scan) == [action, action]


@pytest.mark.parametrize("name", VIEWS)
def test_hidden(name, hidden_from_outsiders, scan):
    hidden_from_outsiders(url_of(name, scan))
    assert actions(scan) == []


@pytest.mark.parametrize("name", VIEWS)
def test_other_case_unknown_id_wrong_method(name, as_user, patient, scan):
    client = as_user(patient)
    other = factories.CaseFactory.create(patient=patient)
    assert client.get(reverse(f"cases:{name}", args=[other.pk, scan.pk])).status_code == 404
    assert client.get(reverse(f"cases:{name}", args=[scan.case_id, uuid.uuid4()])).status_code == 404
    assert client.post(url_of(name, scan)).status_code == 405


@pytest.mark.parametrize("name", VIEWS)
def test_missing_file_is_not_found_and_not_a_crash(name, as_user, patient, scan, caplog):
    for field in (scan.original, scan.canonical, scan.preview):
        field.storage.delete(field.name)
    assert as_user(patient).get(url_of(name, scan)).status_code == 404
    assert scan.canonical.name not in caplog.text


def test_volume_is_the_canonical_nifti(as_user, patient, case, tmp_path):
    scan = factories.ScanFactory.create(case=case, slices=3)
    response = as_user(patient).get(url_of("scan_volume", scan))
    path = tmp_path / "x.nii.gz"
    path.write_bytes(response.getvalue())
    assert nib.load(path).shape == (24, 20, 3)
    assert response.streaming


def test_original_is_a_download_with_a_neutral_name(as_user, patient, scan):
    response = as_user(patient).get(url_of("scan_original", scan))
    response.close()
    assert response["Content-Disposition"] == f'attachment; filename="scan-{str(scan.pk)[:8]}.png"'


@pytest.mark.parametrize(
    ("plane", "size"), [("axial", (24, 20)), ("coronal", (24, 7)), ("sagittal", (20, 7)), ("", (24, 20))]
)
def test_slice_of_each_plane(as_user, patient, case, plane, size):
    scan = factories.ScanFactory.create(case=case, slices=7)
    response = as_user(patient).get(url_of("scan_slice", scan), {"plane": plane, "index": 2})
    assert Image.open(io.BytesIO(response.content)).size == size


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"index": "7"}, 404),
        ({"index": "-1"}, 404),
        ({"index": "two"}, 400),
        ({"plane": "diagonal"}, 400),
        ({"plane": "coronal", "index": "20"}, 404),
    ],
)
def test_bad_slices(as_user, patient, case, query, code):
    scan = factories.ScanFactory.create(case=case, slices=7)
    assert as_user(patient).get(url_of("scan_slice", scan), query).status_code == code
