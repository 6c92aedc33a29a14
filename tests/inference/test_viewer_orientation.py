"""Left and right are told beside a volume only where its file says how the patient lay."""

import json
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.urls import reverse

from cases.models import Scan
from inference.reading_room import PaneView
from tests.factories import ScanFactory, small_volume
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db
RIGHT = "patient&#x27;s right side on the left"
UNKNOWN = "does not say how the patient lay"
PLACELESS = "do not say where each picture lies"


@pytest.mark.parametrize("source", ["dicom", "nifti"])
@pytest.mark.parametrize("oriented", [True, False])
def test_the_viewer_tells_left_and_right_only_where_they_are_known(
    as_user: Any, patient: Any, oriented: bool, source: str
) -> None:
    volume = replace(small_volume(9), oriented=oriented)
    scan = ScanFactory.create(case__patient=patient, volume=volume, source_format=source)
    rows.reading(scan, key_slice=4, key_plane="axial", slices_read=9)
    address = reverse("inference:scan_result", args=[scan.case_id, scan.pk])
    text = as_user(patient).get(address).content.decode()
    text = text.replace("patient's right", "patient&#x27;s right")
    assert f'data-oriented="{"yes" if oriented else ""}"' in text
    assert (RIGHT in text) is oriented and (UNKNOWN in text) is not oriented
    assert (PLACELESS in text) is (not oriented and source == "dicom")


@pytest.mark.parametrize(
    ("slices", "oriented", "told"), [(9, True, True), (9, False, False), (1, True, False)]
)
def test_the_reading_room_is_told_whether_left_and_right_are_known(
    slices: int, oriented: bool, told: bool
) -> None:
    scan = ScanFactory.create(volume=replace(small_volume(slices), oriented=oriented))
    pane = PaneView(scan, None, "brain_mri", "This scan", {})
    assert json.loads(json.dumps(pane.data(), default=str))["oriented"] is told


def test_of_scans_from_before_only_those_of_known_spacing_keep_left_and_right() -> None:
    module = import_module("cases.migrations.0009_scan_oriented")
    unknown = {"text": module._UNKNOWN, "values": {}}
    rows_ = {
        "placed": {"spacing": [1, 1, 1]},
        "no spacing": {"spacing": None},
        "noted": {"spacing": [1, 1, 1], "notes": [{"text": "Something else."}, unknown]},
        "noted in plain words": {"spacing": [1, 1, 1], "notes": [module._UNKNOWN]},
    }
    for name, fields in rows_.items():
        ScanFactory.create(slices=9, description=name, oriented=False, **fields)
    with connection.schema_editor() as editor:
        module.from_what_is_known(apps, editor)
    assert [scan.description for scan in Scan.objects.filter(oriented=True)] == ["placed"]
