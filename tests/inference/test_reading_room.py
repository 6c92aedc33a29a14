"""The reading room: what it shows, who may open it, and that priors are the patient's own."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AccessLog
from cases.models import Scan
from inference.reading_room import modality_of, presets
from tests.factories import CareRelationshipFactory, CaseFactory, ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def scan(patient: Any) -> Scan:
    return ScanFactory.create(case__patient=patient)


def address(scan: Scan, **query: Any) -> str:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return reverse("inference:reading_room", args=[scan.case_id, scan.pk]) + (f"?{asked}" if asked else "")


def page(client: Any, scan: Scan, **query: Any) -> str:
    response = client.get(address(scan, **query))
    assert response.status_code == 200
    assert response["Cache-Control"] == "private, no-store"
    return str(response.content.decode())


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="room-data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found.group(1)))


def aged(scan: Scan, days: int) -> Scan:
    Scan.objects.filter(pk=scan.pk).update(created_at=timezone.now() - timedelta(days=days))
    scan.refresh_from_db()
    return scan


def prior(of: Scan, days: int = 30, *, read: bool = True, **fields: Any) -> Scan:
    made = aged(ScanFactory.create(case__patient=of.case.patient, **fields), days)
    if read:
        rows.reading(made)
    return made


# --- who ---
def test_the_patient_and_a_doctor_with_access_open_it_and_it_is_logged(
    as_user: Any, patient: Any, doctor: Any, scan: Scan
) -> None:
    rows.reading(scan, heat=True)
    CareRelationshipFactory.create(patient=patient, doctor=doctor)
    for user in (patient, doctor):
        text = page(as_user(user), scan)
        assert patient.full_name in text and patient.email in text
        assert "83.0 %" in text and "data-do=" in text
    actors = AccessLog.objects.filter(action="open_reading_room", object_id=scan.pk)
    assert {line.actor for line in actors} == {patient, doctor}


@pytest.mark.parametrize("who", ["other_patient", "doctor", "unverified_doctor", "admin_user"])
def test_outsiders_get_404_and_no_log_line(as_user: Any, request: Any, scan: Scan, who: str) -> None:
    assert as_user(request.getfixturevalue(who)).get(address(scan)).status_code == 404
    assert not AccessLog.objects.filter(action="open_reading_room").exists()


def test_a_revoked_doctor_gets_404(as_user: Any, patient: Any, doctor: Any, scan: Scan) -> None:
    CareRelationshipFactory.create(patient=patient, doctor=doctor, revoked_at=timezone.now())
    assert as_user(doctor).get(address(scan)).status_code == 404


def test_anonymous_is_sent_to_the_login_page(as_user: Any, scan: Scan) -> None:
    assert as_user(None).get(address(scan)).status_code == 302


def test_unknown_id_other_case_bad_id(as_user: Any, patient: Any, scan: Scan) -> None:
    client = as_user(patient)
    other = CaseFactory.create(patient=patient)
    for wrong in ((scan.case_id, uuid.uuid4()), (other.pk, scan.pk)):
        assert client.get(reverse("inference:reading_room", args=wrong)).status_code == 404
    assert client.get(f"/cases/{scan.case_id}/scans/7/read/").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_wrong_method(as_user: Any, patient: Any, scan: Scan, method: str) -> None:
    assert getattr(as_user(patient), method)(address(scan)).status_code == 405


# --- what ---
@pytest.mark.parametrize("state", ["none", "queued", "rejected", "failed", "lost file"])
def test_it_opens_in_every_state(as_user: Any, patient: Any, scan: Scan, state: str) -> None:
    if state == "lost file":
        rows.reading(scan)
        scan.canonical.storage.delete(scan.canonical.name)
    elif state != "none":
        rows.analysis(scan, state)
    text = page(as_user(patient), scan)
    assert ("This looks like a cat." in text) is (state == "rejected")
    assert (
        " style=" not in text and "<style" not in text and "onclick=" not in text and "<script>" not in text
    )


def test_without_a_viewer_the_slice_asked_for_is_drawn_by_the_server(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=7)
    client = as_user(patient)
    assert "plane=axial&amp;index=3" in page(client, scan)
    assert "plane=coronal&amp;index=4" in page(client, scan, plane="coronal", number=5)
    for wrong in ("0", "-3", "x", "999999999999", "99", "²"):
        assert "plane=axial&amp;index=" in page(client, scan, number=wrong)
    assert "plane=axial&amp;index=6" in page(client, scan, number=99)


def test_the_key_slice_is_shown_first(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=7)
    rows.reading(scan, key_slice=5, key_plane="axial")
    text = page(as_user(patient), scan)
    assert "plane=axial&amp;index=5" in text
    assert data_of(text)["current"]["keySlice"] == 5


def test_each_scan_tells_the_still_picture_that_stands_for_it(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, slices=7)
    rows.reading(scan, key_slice=5, key_plane="axial")
    unread = prior(scan, read=False, slices=9)
    text = page(as_user(patient), scan, prior=unread.pk)
    data = data_of(text)
    assert (data["current"]["still"], data["current"]["slices"]) == (
        reverse("cases:scan_slice", args=[scan.case_id, scan.pk]) + "?plane=axial&index=5",
        7,
    )
    other = reverse("cases:scan_slice", args=[unread.case_id, unread.pk])
    assert [(one["still"], one["slices"]) for one in data["others"]] == [(other, 9)]
    for shown in (scan, unread):
        assert f'data-scan="{shown.pk}"' in text
    assert f'src="{other}"' in text


def test_lengths_are_in_points_where_the_file_gives_no_size(as_user: Any, patient: Any, scan: Scan) -> None:
    client = as_user(patient)
    assert data_of(page(client, scan))["current"]["spacing"] is False
    Scan.objects.filter(pk=scan.pk).update(spacing=[0.2, 0.2, 1.0], modality="DX")
    current = data_of(page(client, scan))["current"]
    assert current["spacing"] is True
    assert "at the detector" in current["unit"]


def test_heatmaps_are_offered_by_finding(as_user: Any, patient: Any, scan: Scan) -> None:
    made = rows.reading(scan, heat=True)
    heat = data_of(page(as_user(patient), scan))["current"]["heat"]
    assert [one["condition"] for one in heat] == ["pneumonia", "no-chest-finding"][: len(heat)]
    assert str(made.pk) in heat[0]["url"]


@pytest.mark.parametrize(
    ("modality", "kind", "said"),
    [
        ("CT", "", "CT"),
        ("MR", "brain_mri", "MR"),
        ("", "brain_mri", "MR"),
        ("DX", "chest_xray", "film"),
        ("", "knee_xray", "film"),
        ("US", "", ""),
        ("", "", ""),
    ],
)
def test_modality(modality: str, kind: str, said: str) -> None:
    assert modality_of(Scan(modality=modality), kind) == said


@pytest.mark.parametrize("modality", ["CT", "MR", "film", ""])
def test_presets_are_absolute_only_where_there_is_a_unit(modality: str) -> None:
    found = presets(modality)
    assert found[0]["unit"] == "stored"
    assert len({one["id"] for one in found}) == len(found)
    assert any(one["unit"] == "hu" for one in found) is (modality == "CT")
    for one in found[1:]:
        assert one["low"] < one["high"]
        assert one["unit"] == "hu" or (one["low"] >= 0 and one["high"] <= 100)


# --- priors ---
def test_priors_are_the_same_patients_scans_of_the_same_kind(as_user: Any, patient: Any, scan: Scan) -> None:
    rows.reading(scan)
    same = prior(scan)
    unread = prior(scan, 60, read=False)
    later = aged(prior(scan), -2)
    stranger = ScanFactory.create()  # another patient's
    rows.reading(stranger)
    ScanFactory.create(case__patient=patient, case__kind="knee_xray")
    cat = prior(scan, read=False)
    rows.analysis(cat, "rejected")
    read_as_other = prior(scan, read=False)
    rows.analysis(read_as_other, "succeeded", kind="knee_xray")
    others = data_of(page(as_user(patient), scan))["others"]
    assert [one["id"] for one in others] == [str(later.pk), str(same.pk), str(unread.pk)]
    assert [one["label"] for one in others] == ["Later scan", "Earlier scan", "Earlier scan"]


def test_the_newest_earlier_scan_is_chosen_unless_one_is_asked_for(
    as_user: Any, patient: Any, scan: Scan
) -> None:
    near, far = prior(scan, 30), prior(scan, 60)
    client = as_user(patient)
    assert f'value="{near.pk}" selected' in page(client, scan)
    text = page(client, scan, prior=far.pk)
    assert f'value="{far.pk}" selected' in text and "has-two" in text


def test_never_another_patients_scan_beside_it(
    as_user: Any, patient: Any, other_patient: Any, doctor: Any, scan: Scan
) -> None:
    rows.reading(scan)
    strange = ScanFactory.create(case__patient=other_patient)
    rows.reading(strange)
    for person in (patient, other_patient):
        CareRelationshipFactory.create(patient=person, doctor=doctor)
    client = as_user(doctor)  # may read both, and yet
    text = page(client, scan)
    assert str(strange.pk) not in text and other_patient.full_name not in text
    for wrong in (strange.pk, uuid.uuid4(), scan.pk, "7"):
        assert client.get(address(scan, prior=wrong)).status_code == 404


def test_of_an_unknown_kind_nothing_is_compared(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, case__kind="unsure")
    ScanFactory.create(case__patient=patient, case__kind="unsure")
    assert data_of(page(as_user(patient), scan))["others"] == []


def test_knees_come_with_a_warning_about_the_side(as_user: Any, patient: Any) -> None:
    scan = ScanFactory.create(case__patient=patient, case__kind="knee_xray")
    client = as_user(patient)
    assert "left from right" not in page(client, scan)
    ScanFactory.create(case__patient=patient, case__kind="knee_xray")
    assert "left from right" in page(client, scan)


def test_the_number_of_queries_does_not_grow_with_the_priors(
    as_user: Any, patient: Any, scan: Scan, django_assert_max_num_queries: Any
) -> None:
    rows.reading(scan)
    for days in range(1, 12):
        prior(scan, days)
    client = as_user(patient)
    with django_assert_max_num_queries(45):
        page(client, scan)


# --- held back ---
def test_a_reading_held_back_is_nowhere_on_the_page(
    as_user: Any, patient: Any, scan: Scan, settings: Any
) -> None:
    own, before = rows.reading(scan, heat=True), prior(scan)
    settings.PMI_RELEASE = "after_review"
    text = page(as_user(patient), scan, prior=before.pk)
    assert "A doctor looks at this reading first." in text
    assert "83" not in "".join(re.findall(r"(\d+)\.0 %", text)) and "timeline-mark" not in text
    data = data_of(text)
    assert data["current"]["heat"] == [] and data["others"][0]["heat"] == []
    assert str(own.pk) not in text
    earlier = reverse("inference:earlier_reading", args=[scan.case_id, scan.pk, own.pk])
    assert as_user(patient).get(earlier).status_code == 404
