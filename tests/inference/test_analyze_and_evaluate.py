"""`manage.py analyze --manifest` and `ml_training evaluate` say the same of every image, whatever the age."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from PIL import Image

from ml_training.bundle import METADATA, Bundle
from ml_training.evaluation import evaluate
from tests.inference.pictures import picture

LABELS = {
    "chest_xray": ("no_finding", "pneumonia|bacterial", "pneumonia|viral"),
    "knee_xray": ("0", "2", "4"),
    "brain_mri": ("none", "glioma", "pituitary"),
}


def held_fold(folder, kind, each=4):
    """A manifest of drawn pictures; every second one is a grown-up's, some have no age."""
    folder.mkdir()
    rows = []
    for place, label in enumerate(LABELS[kind]):
        for number in range(each):
            name = f"{place}{number}.png"
            Image.fromarray(picture(kind, label, 7000 + 50 * place + number).astype("uint8")).save(
                folder / name
            )
            age = ("child", "adult", "unknown", "")[number % 4]
            rows.append({"file": name, "label": label, "labels": label, "age_group": age, "group": name})
    path = folder / "manifest.csv"
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def calibrate_apart(bundle):
    """Gives a bundle a calibration and operating points of their own for adults."""
    path = bundle / METADATA
    metadata = json.loads(path.read_text())
    own = dict(metadata["calibration"])
    if "slope" in own:
        own |= {"slope": [0.4 * x for x in own["slope"]], "intercept": [0.3] * len(own["intercept"])}
    else:
        own |= {"temperature": 3 * own["temperature"]}
    metadata["calibration"]["ages"] = {"adult": own}
    name = metadata["labels"][1]["name"]
    metadata["operating_points_by_age"] = {
        "adult": {name: {"high_sensitivity": 0.11, "high_specificity": 0.97}}
    }
    path.write_text(json.dumps(metadata))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(LABELS))
def test_both_say_the_same_of_every_image(bundle_dir, tmp_path, kind):
    if kind != "brain_mri":
        calibrate_apart(bundle_dir / kind)
    manifest, out = held_fold(tmp_path / "held", kind), tmp_path / "out"
    evaluate(bundle_dir / kind, manifest, [], "group", out)
    with (out / "predictions.csv").open(newline="") as handle:
        said = {row["file"]: row for row in csv.DictReader(handle)}
    stream = io.StringIO()
    call_command("analyze", manifest=manifest, kind=kind, json=True, stdout=stream, stderr=io.StringIO())
    answers = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [answer["file"] for answer in answers] == list(said)
    # The tiny gate turns some drawn heads away; what it lets in must agree.
    read = [answer for answer in answers if answer["status"] == "succeeded"]
    assert len(read) >= 8
    for answer in read:
        for label, probability in answer["probabilities"].items():
            assert probability == pytest.approx(float(said[answer["file"]][label]), abs=1e-3), label


def test_an_age_group_changes_the_probability_and_the_points(bundle_dir, engine, onnx_cache, film):
    from inference.engine import Engine

    calibrate_apart(bundle_dir / "chest_xray")
    own = Engine.from_dir(bundle_dir, onnx_cache, threads=1)
    volume = film("chest_xray", "pneumonia|bacterial")
    readings = {
        age: own.analyze(volume, "chest_xray", age, maps=False) for age in ("adult", "child", "unknown")
    }
    assert readings["child"].probabilities == readings["unknown"].probabilities
    assert readings["adult"].probabilities != readings["child"].probabilities
    # A bundle without calibrations by age reads everybody alike.
    old = {age: engine.analyze(volume, "chest_xray", age, maps=False).probabilities for age in readings}
    assert old["adult"] == old["child"] == old["unknown"] == readings["unknown"].probabilities
    labels = {label.name: label for label in Bundle.load(bundle_dir / "chest_xray").labels_for("adult")}
    assert (labels["pneumonia"].high_sensitivity, labels["pneumonia"].high_specificity) == (0.11, 0.97)
    common = Bundle.load(bundle_dir / "chest_xray").labels_for("unknown")
    assert common == Bundle.load(bundle_dir / "chest_xray").labels
