"""Signed reviews for training: who and what is in the folder, and what never is."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from PIL import Image

from accounts import consents
from accounts.models import AccessLog, Consent, ConsentPurpose
from cases.models import Review, ReviewVerdict
from inference import review_export
from inference.models import Analysis, ModelVersion
from ml_training.__main__ import main
from ml_training.specs import AugmentationSpec, NetworkSpec, PreprocessingSpec, SourceSpec, TrainConfig
from tests import factories
from tests.inference import reading_rows as rows
from tests.inference.pictures import picture

pytestmark = pytest.mark.django_db


def reviewed(stored_scan, said=("pneumonia", "likely", "agree", ""), *, consent=True, second=None, **fields):
    """A signed review of a fresh patient's scan; `said` is one verdict as (label, call, verdict, right)."""
    kind, drawn = fields.pop("kind", "chest_xray"), fields.pop("drawn", "pneumonia|bacterial")
    scan = stored_scan(kind, drawn, **fields.pop("scan", {}))
    if consent:
        consents.give_consent(scan.case.patient, ConsentPurpose.TRAINING)
    version = ModelVersion.objects.filter(kind=kind).first() or rows.model_version(kind=kind, digit=kind[0])
    analysis = rows.analysis(scan, "succeeded", model_version=version, **fields.pop("analysis", {}))
    Analysis.objects.filter(pk=analysis.pk).update(kind=kind)
    make_review(scan, analysis, said, **fields)
    if second:
        make_review(scan, analysis, second, seat="second")
    return scan


def make_review(scan, analysis, said, **fields):
    state = {"status": "signed", "signed_at": timezone.now(), "seat": "first", **fields}
    review = Review.objects.create(scan=scan, analysis=analysis, reader_name="Dr Name", **state)
    label, call, verdict, right = said
    ReviewVerdict.objects.create(
        review=review,
        label=label,
        condition=label,
        probability=0.8,
        call=call,
        verdict=verdict,
        right_condition=right,
    )
    return review


def export(folder):
    return review_export.export_reviews(folder)


def manifest(folder):
    path = folder / "manifest.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def pictures_in(folder):
    return {f"images/{path.name}" for path in (folder / "images").iterdir()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "export"


def test_a_signed_consented_review_is_a_row(folder, stored_scan):
    scan = reviewed(stored_scan)
    outcome = export(folder)
    assert (outcome.rows, outcome.written) == (1, 1)
    [row] = manifest(folder)
    assert (row["labels"], row["unknown"]) == ("pneumonia", "bacterial|viral|covid19")
    assert (row["label_origin"], row["readers"], row["model_version"]) == ("agreed", "1", "0.c")
    assert (row["kind"], row["age_group"], row["source"]) == ("chest_xray", "adult", "pmi_reviews")
    assert row["year"] == str(timezone.now().year)
    with Image.open(folder / row["file"]) as image:
        pixels = np.asarray(image)
    given = picture("chest_xray", "pneumonia|bacterial", 99).astype(float)
    assert pixels.shape == given.shape and pixels.max() == 65535
    assert np.corrcoef(pixels.ravel(), given.ravel())[0, 1] > 0.9999
    line = AccessLog.objects.get(action="used_for_training")
    assert (line.object_id, line.patient_key) == (scan.pk, scan.case.patient.log_key)
    facts = json.loads((folder / "provenance.json").read_text())
    assert (facts["state"], facts["rows"], facts["people"]) == ("whole", 1, 1)


def test_nothing_in_the_folder_names_anybody(folder, stored_scan):
    patient = factories.UserFactory.create(full_name="Zaphod Uniquename", email="zaphod@example.org")
    scan = reviewed(stored_scan, scan={"patient": patient}, comment="Very own words")
    export(folder)
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    everything += " ".join(path.name for path in folder.rglob("*")).encode()
    for secret in ("Zaphod", "zaphod", "Dr Name", "Very own", scan.case.title):
        assert secret.encode() not in everything
    for number in (patient.pk, scan.pk, scan.case_id, patient.log_key, scan.analyses.get().pk):
        assert str(number).encode() not in everything and number.hex.encode() not in everything
    assert timezone.now().strftime("%Y-%m").encode() not in (folder / "manifest.csv").read_bytes()
    with Image.open(folder / manifest(folder)[0]["file"]) as image:
        assert not image.info


def test_one_person_is_one_group_and_another_folder_has_other_names(folder, tmp_path, stored_scan):
    patient = factories.UserFactory.create()
    for _number in range(2):
        reviewed(stored_scan, scan={"patient": patient})
    reviewed(stored_scan)
    export(folder)
    groups = [row["group"] for row in manifest(folder)]
    assert sorted(groups.count(name) for name in set(groups)) == [1, 2]
    export(tmp_path / "other")
    assert not set(groups) & {row["group"] for row in manifest(tmp_path / "other")}
    assert not pictures_in(folder) & pictures_in(tmp_path / "other")


@pytest.mark.parametrize(
    "fields",
    [
        {"consent": False},
        {"status": "draft", "signed_at": None},
        {"status": "superseded"},
        {"seat": "second"},
        {"said": ("pneumonia", "likely", "unsure", "")},
        {"said": ("pneumonia", "likely", "disagree", "")},
        {"second": ("pneumonia", "likely", "disagree", "no-chest-finding")},
    ],
)
def test_what_never_gets_in(folder, stored_scan, fields):
    reviewed(stored_scan, **fields)
    assert export(folder).rows == 0
    assert not manifest(folder) and not pictures_in(folder)
    assert not AccessLog.objects.filter(action="used_for_training").exists()


def test_no_consent_to_old_words_no_withdrawn_care_no_shut_account(folder, stored_scan):
    for number in range(3):
        patient = reviewed(stored_scan).case.patient
        if number == 0:
            Consent.objects.filter(patient=patient).update(text_version="2019-01")
        elif number == 1:
            consents.revoke_consent(patient, ConsentPurpose.CARE)
        else:
            patient.is_active = False
            patient.save()
    assert export(folder).rows == 0


def test_a_second_reader_is_counted_and_a_correction_marked(folder, stored_scan):
    reviewed(
        stored_scan,
        ("no_finding", "likely", "disagree", "pneumonia"),
        second=("pneumonia", "unlikely", "disagree", "pneumonia"),
    )
    export(folder)
    [row] = manifest(folder)
    assert (row["labels"], row["label_origin"], row["readers"]) == ("pneumonia", "corrected", "2")


def test_volumes_only_with_the_slice_that_was_shown(folder, stored_scan, brain):
    said = ("glioma", "likely", "agree", "")
    key = {"key_slice": 20, "key_plane": "axial"}
    for analysis, verdict in (
        (key, said),
        ({}, said),
        (key, ("glioma", "likely", "disagree", "meningioma")),
    ):
        volume = brain("glioma", 40, range(15, 25))
        reviewed(
            stored_scan, verdict, kind="brain_mri", scan={"volume": volume}, analysis=analysis, drawn="glioma"
        )
    outcome = export(folder)
    [row] = manifest(folder)
    assert (row["label"], row["view"], row["plane"]) == ("glioma", "slice shown with the finding", "axial")
    assert outcome.left_out["no slice is certain"] == 2


def test_a_consent_taken_back_takes_rows_and_pictures_out(folder, stored_scan):
    stays, goes = reviewed(stored_scan), reviewed(stored_scan)
    export(folder)
    before = {row["file"] for row in manifest(folder)}
    assert len(before) == 2 and pictures_in(folder) == before
    consents.revoke_consent(goes.case.patient, ConsentPurpose.TRAINING)
    outcome = export(folder)
    [row] = manifest(folder)
    assert (outcome.rows, outcome.written, outcome.removed) == (1, 0, 1)
    assert pictures_in(folder) == {row["file"]} and row["file"] in before
    assert AccessLog.objects.filter(action="used_for_training", object_id=stays.pk).count() == 1


def test_a_consent_taken_back_while_it_runs(folder, stored_scan, monkeypatch):
    scan = reviewed(stored_scan)
    real = review_export._write_images

    def withdraw_after(*args):
        real(*args)
        consents.revoke_consent(scan.case.patient, ConsentPurpose.TRAINING)

    monkeypatch.setattr(review_export, "_write_images", withdraw_after)
    outcome = export(folder)
    assert (outcome.rows, dict(outcome.left_out)) == (0, {"withdrawn meanwhile": 1})
    assert not pictures_in(folder)


def test_a_deleted_scan_goes_with_the_next_run(folder, stored_scan):
    scan = reviewed(stored_scan)
    export(folder)
    scan.delete()
    assert export(folder).removed == 1
    assert not manifest(folder)


def test_a_killed_run_leaves_no_manifest_and_goes_on(folder, stored_scan, monkeypatch):
    for _number in range(3):
        reviewed(stored_scan)
    monkeypatch.setattr(review_export, "_STEP", 1)
    real, calls = review_export._write_images, []

    def dies(*args):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        real(*args)

    monkeypatch.setattr(review_export, "_write_images", dies)
    with pytest.raises(KeyboardInterrupt):
        export(folder)
    assert not manifest(folder)
    assert main(["prepare", "--from-reviews", str(folder), "--kind", "chest_xray", "--out", "x"]) == 2
    monkeypatch.setattr(review_export, "_write_images", real)
    outcome = export(folder)
    assert (outcome.rows, outcome.written) == (3, 1)


def test_a_folder_of_something_else_is_left_alone(tmp_path, stored_scan):
    reviewed(stored_scan)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("Dear")
    with pytest.raises(CommandError, match="not empty"):
        call_command("export_reviews", str(mine))
    (mine / "provenance.json").write_text('{"format": "another"}')
    with pytest.raises(CommandError, match="not from an export"):
        call_command("export_reviews", str(mine))
    assert sorted(path.name for path in mine.iterdir()) == ["letter.txt", "provenance.json"]


@pytest.mark.slow
def test_from_reviews_to_a_trained_network(folder, tmp_path, stored_scan, film, capsys):
    # Two scans for every second person: their pictures must stay together.
    for number in range(16):
        patient = factories.UserFactory.create()
        for again in range(1 + number % 2):
            ill = number % 4 < 2
            label, right = ("pneumonia", "") if ill else ("no_finding", "")
            volume = film("chest_xray", "pneumonia" if ill else "no_finding", seed=10 * number + again)
            scan = {"patient": patient, "volume": volume}
            reviewed(stored_scan, (label, "likely", "agree", right), scan=scan)
    out = tmp_path / "prepared"
    call_command("export_reviews", str(folder), verbosity=0)
    arguments = ["prepare", "--from-reviews", str(folder), "--out", str(out), "--folds", "2"]
    assert main(arguments) == 2  # which kind?
    assert main([*arguments, "--kind", "knee_xray"]) == 2
    assert main([*arguments, "--kind", "chest_xray", "--group-column", "file"]) == 2
    assert main([*arguments, "somewhere", "--kind", "chest_xray"]) == 2
    assert main([*arguments, "--kind", "chest_xray", "--test", "0.25", "--val", "0"]) == 0
    prepared = manifest(out)
    assert len(prepared) == 24
    assert {row["label_origin"] for row in prepared} == {"agreed"}
    sides = {}
    for row in prepared:
        sides.setdefault(row["given_group"], set()).add(row["split"])
    assert len(sides) == 16 and all(len(side) == 1 for side in sides.values())
    report = (out / "report.html").read_text()
    assert "Where the labels are from" in report and "24 pictures of 16 people" in report

    from ml_training.train import train

    config = TrainConfig(
        kind="chest_xray",
        version="9.0.0",
        sources=(
            SourceSpec(
                manifest="manifest.csv", group_column="group", test_column="split", test_values=("test",)
            ),
        ),
        preprocessing=PreprocessingSpec(size=64),
        network=NetworkSpec(init_features=8, growth_rate=4, block_config=(2, 2, 2, 2)),
        augmentation=AugmentationSpec(rotate_degrees=0, translate=0, shear=0, scale=0, stretch=0),
        epochs=1,
        batch_size=8,
        val_fraction=0.25,
        workers=0,
    )
    train(config, out, tmp_path / "run", progress=False)
    assert Path(tmp_path / "run" / "best.ckpt").is_file()
