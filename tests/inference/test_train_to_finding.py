"""The whole way on drawn pictures: manifest, training, bundle, registration, upload, finding."""

import csv
from pathlib import Path

import pytest
from django.core.management import call_command
from PIL import Image

from cases import services as case_services
from cases.intake import IncomingFile
from inference.models import ModelVersion
from ml_training.publish import publish
from ml_training.specs import AugmentationSpec, NetworkSpec, PreprocessingSpec, SourceSpec, TrainConfig
from ml_training.train import train
from tests.inference.pictures import picture


def manifest(folder: Path, each: int = 16) -> None:
    (folder / "images").mkdir(parents=True)
    rows = []
    for grade in range(5):
        for number in range(each):
            seed = 100 * grade + number
            name = f"images/{seed}.png"
            Image.fromarray(picture("knee_xray", str(grade), seed).astype("uint8")).save(folder / name)
            rows.append([name, grade, f"p{seed}", "test" if number % 4 == 0 else "train"])
    with (folder / "manifest.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file", "label", "patient", "split"])
        writer.writerows(rows)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_from_manifest_to_finding(bundle_dir, tmp_path, patient, monkeypatch):
    manifest(tmp_path / "data")
    config = TrainConfig(
        kind="knee_xray",
        version="7.0.0",
        sources=(
            SourceSpec(
                manifest="manifest.csv", group_column="patient", test_column="split", test_values=("test",)
            ),
        ),
        preprocessing=PreprocessingSpec(size=64),
        network=NetworkSpec(init_features=16, growth_rate=8, block_config=(2, 2, 2, 2)),
        augmentation=AugmentationSpec(
            rotate_degrees=0, translate=0, shear=0, scale=0, stretch=0, dropout_holes=0
        ),
        epochs=3,
        batch_size=16,
        val_fraction=0.25,
        workers=0,
    )
    train(config, tmp_path / "data", tmp_path / "run", progress=False)
    publish(config, tmp_path / "data", tmp_path / "run", bundle_dir)
    call_command("register_models", verbosity=0)
    version = ModelVersion.objects.get(kind="knee_xray", is_active=True)
    assert version.version == "7.0.0"
    assert "accuracy" in version.metadata["eval_metrics"]["all"]

    from celery.app.task import Task

    monkeypatch.setattr(
        Task, "apply_async", lambda self, args=None, kwargs=None, **_: self.run(*(args or ()))
    )
    upload = tmp_path / "knee.png"
    Image.fromarray(picture("knee_xray", "4", 9999).astype("uint8")).save(upload)
    case = case_services.open_case(patient, kind="knee_xray", age_group="adult")
    result = case_services.add_scans(case, patient, [IncomingFile("knee.png", upload)])
    analysis = result.scans[0].analyses.get()
    assert analysis.status == "succeeded", analysis.reason
    assert analysis.model_version == version
    assert analysis.danger in {"routine", "soon", "none_found"}
    assert analysis.findings.count() == 5
    assert sum(analysis.probabilities.values()) == pytest.approx(1, abs=1e-4)
