"""Agreement with signed reviews, and drift: what counts, and what is only chance."""

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from inference import model_charts, model_figures
from inference.models import Analysis, ModelVersion
from inference.wilson import interval
from tests import factories
from tests.inference import reading_rows as rows
from tests.inference.test_review_export import make_review, reviewed

pytestmark = pytest.mark.django_db


def test_wilson():
    low, high = interval(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)  # Wilson 1927, as in Newcombe 1998
    assert interval(0, 0) == (0.0, 1.0) and interval(10, 10)[1] > 0.999


def share(figures, label, point="possible"):
    return next(row for row in figures["labels"] if (row["label"], row["point"]) == (label, point))


def test_agreement_counts_what_reviews_make_certain(stored_scan):
    said = [
        ("pneumonia", "likely", "agree", ""),
        ("pneumonia", "likely", "agree", ""),
        ("pneumonia", "likely", "disagree", "no-chest-finding"),
        ("pneumonia", "likely", "unsure", ""),
    ]
    for one in said:
        scan = reviewed(stored_scan, one, consent=False)
        rows.finding(scan.analyses.get())
        rows.finding(scan.analyses.get(), "no-chest-finding", label="no_finding", call="unlikely")
    reviewed(stored_scan, status="draft", signed_at=None)
    version = ModelVersion.objects.get()
    figures = model_figures.measure(version).figures
    assert (figures["reviews"], figures["certain"]) == (4, 3)
    row = share(figures, "pneumonia")
    assert (row["positives"], row["negatives"]) == (2, 1)
    assert row["sensitivity"]["value"] == 1.0 and row["specificity"]["value"] == 0.0
    assert not row["sensitivity"]["means_something"]
    assert share(figures, "no_finding")["sensitivity"]["value"] == 0.0
    assert "person" not in str(figures) and str(scan.pk) not in str(figures)
    charts = {chart.name: chart for chart in model_charts.over_months(figures["months"])}
    sensitivity = charts["pneumonia, sensitivity"]
    assert "100 % of 2" in sensitivity.summary and sensitivity.points[0].is_thin


def test_two_readers(stored_scan):
    scan = reviewed(stored_scan, second=("pneumonia", "likely", "disagree", "no-chest-finding"))
    other = reviewed(stored_scan, second=("pneumonia", "likely", "agree", ""))
    assert scan != other
    figures = model_figures.measure(ModelVersion.objects.get()).figures
    assert figures["two_readers"] == 2 and figures["two_readers_differ"]["count"] == 1
    assert figures["two_readers_by_label"] == [{"label": "pneumonia", "judged": 2, "differ": 1}]


def test_no_reading_no_review():
    version = rows.model_version()
    figures = model_figures.measure(version).figures
    assert figures["drift"] == {"readings": 0, "months": []} and figures["reviews"] == 0
    assert model_charts.drift_rows(figures["drift"]) == {} and model_charts.over_months([]) == []


def analyses(version, scan, days_ago, count, mean):
    rng = np.random.default_rng(days_ago)
    when = timezone.now() - timedelta(days=days_ago)
    Analysis.objects.bulk_create(
        Analysis(
            scan=scan,
            status="succeeded",
            model_version=version,
            danger="routine",
            kind="chest_xray",
            probabilities={"pneumonia": float(np.clip(rng.normal(mean, 0.1), 0, 1))},
            queued_at=when,
            dispatched_at=when,
            finished_at=when,
            gate_distance=0.5,
        )
        for _number in range(count)
    )


def test_drift_marks_a_change_and_not_chance():
    version, scan = rows.model_version(), factories.ScanFactory.create()
    analyses(version, scan, 200, 150, 0.3)
    analyses(version, scan, 120, 150, 0.3)
    analyses(version, scan, 60, 150, 0.7)
    analyses(version, scan, 10, 20, 0.9)
    drift = model_figures.measure(version).figures["drift"]
    assert drift["has_reference"] and drift["readings"] == 470
    found = {
        month["name"]: next(i for i in month["items"] if i["what"] == "probability of pneumonia")
        for month in drift["months"]
    }
    first, same, moved, few = found.values()
    assert first["n"] == 150 and "psi" not in first
    assert same["enough"] and not same["changed"] and same["p"] > 0.001
    assert moved["changed"] and moved["psi"] > 1
    assert few["enough"] is False
    assert model_charts.drift_rows(drift)["changed"] == ["probability of pneumonia"]


def test_chance_alone_is_seldom_marked():
    rng = np.random.default_rng(0)
    marked = sum(
        model_figures._changed(list(rng.normal(size=100)), list(rng.normal(size=100)), False)["changed"]
        for _round in range(400)
    )
    assert marked <= 3


def test_reviews_of_another_version_do_not_count(stored_scan):
    scan = reviewed(stored_scan)
    other = rows.model_version(active=False, digit="d")
    assert model_figures.measure(other).figures["reviews"] == 0
    make_review(scan, scan.analyses.get(), ("pneumonia", "likely", "agree", ""), status="superseded")
    assert model_figures.measure(ModelVersion.objects.exclude(pk=other.pk).get()).figures["reviews"] == 1
