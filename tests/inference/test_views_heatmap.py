"""Heatmap files: who gets them, how they are sent, that it is logged."""

import gzip
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AccessLog
from cases.models import Scan
from inference.models import Finding
from tests.factories import CareRelationshipFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
FILES = [
    ("heatmap_volume", "application/gzip", "view_heatmap"),
    ("heatmap_picture", "image/png", "view_heatmap_picture"),
]


@pytest.fixture
def finding(patient: Any) -> Finding:
    scan: Scan = ScanFactory.create(case__patient=patient)
    return rows.finding(rows.analysis(scan, "succeeded"), heat=True)


def address(name: str, finding: Finding) -> str:
    return reverse(f"inference:{name}", args=[finding.analysis_id, finding.pk])


@pytest.mark.parametrize(("name", "content_type", "action"), FILES)
def test_the_patient_gets_the_file(
    as_user: Any, patient: Any, finding: Finding, name: str, content_type: str, action: str
) -> None:
    response = as_user(patient).get(address(name, finding))
    body = b"".join(response.streaming_content)
    assert response.status_code == 200
    assert response["Content-Type"] == content_type
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    # The NIfTI is gzipped itself; a Content-Encoding would make the browser unpack it before the viewer does.
    assert not response.has_header("Content-Encoding")
    assert (gzip.decompress(body)[344:347] == b"n+1") if name == "heatmap_volume" else body[:4] == b"\x89PNG"
    line = AccessLog.objects.get(action=action)
    assert (line.actor, line.object_id) == (patient, finding.pk)


@pytest.mark.parametrize("name", ["heatmap_volume", "heatmap_picture"])
def test_a_shared_doctor_gets_the_file(
    as_user: Any, patient: Any, doctor: Any, finding: Finding, name: str
) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    response = as_user(doctor).get(address(name, finding))
    assert b"".join(response)  # reading to the end closes the file
    assert response.status_code == 200


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
@pytest.mark.parametrize("name", ["heatmap_volume", "heatmap_picture"])
def test_outsiders_get_404_and_no_log_line(
    as_user: Any, request: Any, finding: Finding, who: str, name: str
) -> None:
    assert as_user(request.getfixturevalue(who)).get(address(name, finding)).status_code == 404
    assert not AccessLog.objects.filter(action__startswith="view_heatmap").exists()


@pytest.mark.parametrize("name", ["heatmap_volume", "heatmap_picture"])
def test_anonymous_is_sent_to_the_login_page(as_user: Any, finding: Finding, name: str) -> None:
    assert as_user(None).get(address(name, finding)).status_code == 302


@pytest.mark.parametrize("name", ["heatmap_volume", "heatmap_picture"])
def test_a_finding_of_another_analysis_gets_404(
    as_user: Any, patient: Any, finding: Finding, name: str
) -> None:
    other = rows.analysis(ScanFactory.create(case__patient=patient), "succeeded")
    wrong = reverse(f"inference:{name}", args=[other.pk, finding.pk])
    assert as_user(patient).get(wrong).status_code == 404


@pytest.mark.parametrize("name", ["heatmap_volume", "heatmap_picture"])
def test_no_heatmap_or_a_lost_file_gets_404(as_user: Any, patient: Any, finding: Finding, name: str) -> None:
    bare = rows.finding(finding.analysis, "glioma", label="glioma")
    assert as_user(patient).get(address(name, bare)).status_code == 404
    for field in (finding.heatmap, finding.heatmap_png):
        field.storage.delete(field.name)
    assert as_user(patient).get(address(name, finding)).status_code == 404


@pytest.mark.parametrize("name", ["heatmap_volume", "heatmap_picture"])
@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_wrong_method(as_user: Any, patient: Any, finding: Finding, name: str, method: str) -> None:
    assert getattr(as_user(patient), method)(address(name, finding)).status_code == 405


def test_bad_id(as_user: Any, patient: Any, finding: Finding) -> None:
    assert as_user(patient).get(f"/analyses/{finding.analysis_id}/findings/7/heatmap.png").status_code == 404
