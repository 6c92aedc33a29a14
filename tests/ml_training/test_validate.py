"""`validate`: runs and bundles side by side on images that none of them learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml_training.__main__ import main
from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.specs import TrainConfig, load_config
from ml_training.train import make_splits, train
from ml_training.validate import LESION, TISSUE, TOGETHER, Moved, table, validate
from tests.ml_training.conftest import write_manifest
from tests.ml_training.test_transplant import head


@pytest.fixture
def world(_published: Path) -> Path:
    """The tiny world's root: `data`, `tiny.yaml`, its finished `run` and that run's bundle in `bundles`."""
    return _published.parent.parent


@pytest.fixture
def known(world: Path) -> TrainConfig:
    return load_config(world / "tiny.yaml")


@pytest.mark.slow
def test_a_run_and_its_bundle_say_the_same_and_so_do_they_together(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["validate", str(world / "tiny.yaml"), "--data-dir", str(world / "data"), "--by", "label"]
    assert main([*command, "--of", str(world / "run"), str(world / "bundles" / "knee_xray"), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    held = make_splits(load_config(world / "tiny.yaml"), world / "data").val
    assert [line["part"] for line in lines[:6]] == ["all", *(f"label={grade}" for grade in range(5))]
    assert sum(line["images"] for line in lines[1:6]) == lines[0]["images"] == len(held)
    run, shipped, together = (lines[start : start + 6] for start in (0, 6, 12))
    assert {line["network"] for line in together} == {TOGETHER}
    for one, two, both in zip(run, shipped, together, strict=True):
        # The bundle has the run's weights in half precision.
        assert one["score"] == two["score"] == both["score"]
        assert one["log_loss"] == pytest.approx(two["log_loss"], abs=5e-3)
    assert main([*command, "--of", str(world / "run")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("| network | part | images | accuracy |") and len(shown) == 2 + 6
    assert shown[0].endswith("| quadratic weighted kappa | AUC grade 2 or more |")
    kappa = run[0]["figures"]["quadratic_weighted_kappa"]
    assert f"| {kappa:.3f} |" in shown[2]
    # Of images of one grade no figure of order can be told.
    assert run[1]["figures"]["auc_grade_2_or_more"] is None and shown[3].endswith("|  |")


@pytest.mark.slow
def test_the_newest_epoch_can_be_named_and_misses_are_counted(world: Path, known: TrainConfig) -> None:
    (line,) = validate(known, world / "data", [world / "run" / "last.ckpt"])
    held = make_splits(known, world / "data").val
    ill = [item for item in held if item.row["label"] != "0"]
    assert line.diseased == len(ill) and line.missed is not None and 0 <= line.missed < len(ill)
    assert f"{line.missed} of {len(ill)}" in table([line], task_of("knee_xray"))


@pytest.mark.slow
def test_what_cannot_be_judged_is_refused(world: Path, known: TrainConfig, tmp_path: Path) -> None:
    data = world / "data"
    with pytest.raises(TrainingError, match="--by hospital: no manifest has such a column"):
        validate(known, data, [world / "run"], ["hospital"])
    with pytest.raises(TrainingError, match="--of: .*nowhere is not a run folder"):
        validate(known, data, [tmp_path / "nowhere"])
    with pytest.raises(TrainingError, match="val_fraction is 0"):
        validate(load_config(world / "tiny.yaml", ["val_fraction=0"]), data, [world / "run"])
    with pytest.raises(TrainingError, match="has learnt from these validation items"):
        validate(load_config(world / "tiny.yaml", ["split_seed=5"]), data, [world / "run"])
    manifest = {"manifest": "tiny/manifest.csv", "group_column": "patient", "label": "none"}
    brain = load_config(world / "tiny.yaml", ["kind=brain_mri", f"sources={json.dumps([manifest])}"])
    with pytest.raises(TrainingError, match="learnt knee_xray, not brain_mri"):
        validate(brain, data, [world / "run"])


@pytest.fixture
def heads(tmp_path: Path) -> TrainConfig:
    """Drawn heads: twelve patients with a mirrored pair each, ten heads without one; trained for an epoch."""
    folder = tmp_path / "heads"
    folder.mkdir()
    rows = []
    for n in range(22):
        pictures = {"none": head(grey=0.3 + 0.01 * n)}
        if n < 12:
            pictures["glioma"] = head((50, 40), (50, 88), grey=0.3 + 0.01 * n)
        for label, picture in pictures.items():
            file = f"{n}_{label}.png"
            Image.fromarray((picture * 255).astype(np.uint8)).save(folder / file)
            rows.append(
                {"file": file, "label": label, "group": f"p{n}", "original": f"{n}" if n < 12 else ""}
            )
    write_manifest(folder, rows)
    path = tmp_path / "heads.yaml"
    path.write_text(
        "{kind: brain_mri, version: 0.0.1, sources: [{manifest: heads/manifest.csv}], epochs: 1, workers: 0,"
        " preprocessing: {size: 128},"
        " network: {init_features: 8, growth_rate: 4, block_config: [1, 1, 1, 1]},"
        " val_fraction: 0.4, batch_size: 8}"
    )
    config = load_config(path)
    train(config, tmp_path, tmp_path / "run", progress=False)
    return config


@pytest.mark.slow
def test_a_lesion_is_moved_into_heads_of_others_and_healthy_tissue_as_often(
    heads: TrainConfig, tmp_path: Path
) -> None:
    items = make_splits(heads, tmp_path).val
    hosts = [item for item in items if not item.row["original"]]
    assert hosts and any(item.row["original"] for item in items)
    moved, again = Moved.of(heads, items), Moved.of(heads, items)
    assert np.array_equal(moved.images, again.images)
    sick = moved.parts == LESION
    assert 0 < sick.sum() <= 4 * len(hosts) and 0 < (~sick).sum() <= 4 * len(hosts)
    assert set(moved.targets[sick].argmax(1)) == {0} and set(moved.targets[~sick].argmax(1)) == {3}
    # A lesion is brighter than the tissue that comes from the same place.
    assert (moved.images[sick] > 0.95).mean() > (moved.images[~sick] > 0.95).mean() + 0.002
    lines = validate(heads, tmp_path, [tmp_path / "run"], moved=True)
    assert [line.part for line in lines] == ["all", LESION, TISSUE]
    assert [line.images for line in lines] == [len(items), sick.sum(), (~sick).sum()]
    assert [line.diseased for line in lines[1:]] == [sick.sum(), 0] and lines[2].missed == 0


@pytest.mark.slow
def test_without_pairs_nothing_can_be_moved(world: Path, known: TrainConfig) -> None:
    with pytest.raises(TrainingError, match="--moved needs pairs made by `mirror`"):
        validate(known, world / "data", [world / "run"], moved=True)
