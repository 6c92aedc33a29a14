"""Findings over time: one mark per reading, never joined across model versions, nobody else's."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from cases.models import Scan
from inference import timeline
from inference.models import Analysis
from tests.factories import ScanFactory
from tests.inference import reading_rows as rows

pytestmark = pytest.mark.django_db


def scan_of(patient: Any, days: int) -> Scan:
    scan = ScanFactory.create(case__patient=patient)
    Scan.objects.filter(pk=scan.pk).update(created_at=timezone.now() - timedelta(days=days))
    scan.refresh_from_db()
    return scan


def charts(here: Scan) -> timeline.Timeline:
    readings = Analysis.objects.filter(status="succeeded").select_related("scan", "model_version")
    return timeline.build(list(readings.prefetch_related("findings")), here.pk)


def chart(found: timeline.Timeline, condition: str = "pneumonia") -> timeline.Chart:
    return next(one for one in found.charts if one.condition == condition)


def test_nothing_read_is_no_chart(patient: Any) -> None:
    assert charts(scan_of(patient, 0)).charts == []


def test_one_reading_is_one_mark_in_the_middle(patient: Any) -> None:
    scan = scan_of(patient, 0)
    rows.reading(scan)
    drawn = chart(charts(scan))
    assert len(drawn.points) == 1 and not drawn.lines
    assert drawn.points[0].is_here and 100 < drawn.points[0].x < 240
    assert [name for name, _y in drawn.limits] == ["possible", "likely"]


def test_lines_join_readings_of_one_version_only(patient: Any) -> None:
    old, new = rows.model_version(active=False, digit="b"), rows.model_version(digit="c")
    scans = [scan_of(patient, days) for days in (300, 200, 100, 0)]
    for scan, version in zip(scans, (old, old, new, new), strict=True):
        rows.reading(scan, model_version=version)
    found = charts(scans[-1])
    drawn = chart(found)
    assert found.is_mixed and [name for _shape, name in found.versions] == ["0.b", "0.c"]
    assert len(drawn.points) == 4 and len(drawn.lines) == 2
    assert all(len(line.split()) == 2 for line in drawn.lines)
    assert [point.shape for point in drawn.points] == ["circle", "circle", "square", "square"]
    xs = [point.x for point in drawn.points]
    assert xs == sorted(xs) and xs[0] >= 34 and xs[-1] <= 308


def test_both_versions_of_one_scan_are_shown_one_above_the_other(patient: Any) -> None:
    scan = scan_of(patient, 0)
    for digit in "bc":
        rows.reading(scan, model_version=rows.model_version(active=digit == "c", digit=digit))
    drawn = chart(charts(scan))
    assert len(drawn.points) == 2 and not drawn.lines
    assert drawn.points[0].x == drawn.points[1].x


def test_of_two_readings_by_one_version_the_newest_counts(patient: Any) -> None:
    scan = scan_of(patient, 0)
    first = rows.analysis(scan, "succeeded", waited=timedelta(hours=2))
    rows.finding(first, probability=0.2, call="unlikely")
    rows.reading(scan, model_version=first.model_version)
    assert [point.per_cent for point in chart(charts(scan)).points] == [83]


def test_marks_of_one_day_stay_apart_and_inside(patient: Any) -> None:
    version = rows.model_version()
    scans = [scan_of(patient, 0) for _ in range(30)] + [scan_of(patient, 900)]
    for scan in scans:
        rows.reading(scan, model_version=version)
    xs = [point.x for point in chart(charts(scans[0])).points]
    assert len(set(xs)) == 31 and min(xs) >= 34 and max(xs) <= 308.01


def test_nothing_found_is_never_raised_and_probabilities_are_never_certain(patient: Any) -> None:
    scan = scan_of(patient, 0)
    made = rows.analysis(scan, "succeeded")
    rows.finding(made, "no-chest-finding", label="no_finding", probability=1.0, call="likely")
    found = charts(scan)
    assert not found.raised
    assert found.quiet[0].points[0].per_cent == 99


def test_the_page_draws_it_with_a_table_and_words(as_user: Any, patient: Any, other_patient: Any) -> None:
    version = rows.model_version()
    scans = [scan_of(patient, 90), scan_of(patient, 0)]
    for scan in scans:
        rows.reading(scan, model_version=version)
    strange = rows.reading(scan_of(other_patient, 40), model_version=version)
    strange.findings.filter(label="pneumonia").update(probability=0.47)
    address = reverse("inference:reading_room", args=[scans[1].case_id, scans[1].pk])
    text = as_user(patient).get(address).content.decode()
    svg = re.search(r'<svg viewBox="0 0 320 96" role="img" aria-label="([^"]+)"', text)
    assert svg and "83 in 100" in svg.group(1) and "likely" in svg.group(1)
    assert text.count('class="timeline-here"') == 2  # one per condition
    assert "47" not in "".join(re.findall(r'<td class="text-end">(\d+)</td>', text))
    assert "Several model versions" not in text
