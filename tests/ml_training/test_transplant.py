"""Transplants: a lesion brings its label along, healthy tissue does not; both lie on the head."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ml_training.data.manifest import Item
from ml_training.data.transplant import Donor, Transplant, donors, lesion, put
from ml_training.errors import TrainingError
from ml_training.labels import TASKS, healthy_label
from ml_training.specs import load_config
from ml_training.train import loader, make_splits
from tests.ml_training.conftest import write_manifest

SIDE = 128
BRAIN = TASKS["brain_mri"]
NONE = torch.tensor([0.0, 0.0, 0.0, 1.0])
GLIOMA = torch.tensor([1.0, 0.0, 0.0, 0.0])


def head(*spots: tuple[int, int], grey: float = 0.4, height: float = 56, width: float = 44) -> np.ndarray:
    """Tissue of about one grey value under a bright skull, with a bright spot at each (row, column)."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    away = ((rows - SIDE / 2) / height) ** 2 + ((columns - SIDE / 2) / width) ** 2
    image = np.where(away < 1, 0.9, 0.0)
    # Grey values that lie beside each other: a look of equal quantiles could not be told from another.
    tissue = grey * (0.9 + 0.2 * (rows + columns) / (2 * SIDE))
    image[away < 0.8] = tissue[away < 0.8]
    image[away < 0.1] = grey / 2
    for row, column in spots:
        image[(rows - row) ** 2 + (columns - column) ** 2 < 8**2] = 1.0
    return image.astype(np.float32)


CLEAN, SICK = head(), head((50, 40), (50, SIDE - 40))


def donor() -> Donor:
    piece = lesion(CLEAN, SICK)
    assert piece is not None
    return Donor(CLEAN, SICK, piece, GLIOMA)


def test_the_lesion_is_found_in_the_left_half_only() -> None:
    piece = lesion(CLEAN, SICK)
    assert piece is not None and piece.min() >= 0 and piece.max() <= 1
    assert piece[50, 40] > 0.9
    assert piece[:, SIDE // 2 + 6 :].max() < 0.05
    assert piece[90:].max() < 0.05


@pytest.mark.parametrize(
    "sick",
    [
        pytest.param(CLEAN, id="alike"),
        pytest.param(head(grey=0.8), id="everything differs"),
        pytest.param(head(width=45), id="the skull only"),
    ],
)
def test_what_is_no_lesion_gives_no_piece(sick: np.ndarray) -> None:
    assert lesion(CLEAN, sick) is None


def test_a_lesion_lies_on_the_other_head_and_leaves_the_rest_alone() -> None:
    other = head(grey=0.5, height=48, width=40)
    outcomes = [put(other, donor(), True, np.random.default_rng(seed)) for seed in range(20)]
    done = [picture for picture in outcomes if picture is not None]
    assert len(done) >= 15
    places = []
    for picture in done:
        assert picture.dtype == np.float32
        changed = np.abs(picture - other) > 0.1
        assert changed.sum() < 700
        assert (other[changed] > 0).mean() > 0.75
        spot = np.argwhere((picture > 0.75) & (other < 0.6))
        assert len(spot) > 30
        places.append(spot.mean(axis=0))
    rows, columns = np.array(places).T
    assert {bool(column < SIDE / 2) for column in columns} == {True, False}
    assert (rows < 70).all() and np.ptp(rows) > 5


def test_healthy_tissue_moves_the_same_way_and_shows_nothing_bright() -> None:
    other = head(grey=0.5)
    sick = put(other, donor(), True, np.random.default_rng(1))
    sham = put(other, donor(), False, np.random.default_rng(1))
    assert sick is not None and sham is not None
    spot = sick - other > 0.3
    assert spot.sum() > 60
    assert (sham[spot] - other[spot]).max() < 0.2


def test_a_lesion_that_would_not_be_seen_is_not_put() -> None:
    hidden = Donor(CLEAN, CLEAN + 0.01, donor().piece, GLIOMA)
    assert put(CLEAN, hidden, True, np.random.default_rng(1)) is None


def test_a_blank_picture_is_left_alone() -> None:
    assert put(np.zeros((SIDE, SIDE), np.float32), donor(), True, np.random.default_rng(1)) is None


def test_labels_follow_what_was_moved_and_seeds_repeat_it() -> None:
    surgery = Transplant(1.0, [donor()], healthy=3)
    image = torch.from_numpy(head(grey=0.5))[None]
    before = image.clone()
    outcomes = [surgery(image, NONE, seed) for seed in range(40)]
    assert torch.equal(image, before)
    for done, target in outcomes:
        lesion_seen = int(((done > 0.75) & (image < 0.6)).sum()) > 30
        assert torch.equal(target, GLIOMA if lesion_seen else NONE)
    ill = sum(int(target[0] == 1) for _, target in outcomes)
    assert 8 <= ill <= 32
    again = surgery(image, NONE, 7)
    assert torch.equal(again[0], outcomes[7][0]) and torch.equal(again[1], outcomes[7][1])


def test_a_head_with_a_tumour_is_never_operated_on() -> None:
    surgery = Transplant(1.0, [donor()], healthy=3)
    image = torch.from_numpy(head())[None]
    done, target = surgery(image, GLIOMA, 3)
    assert done is image and target is GLIOMA


def item(group: str, original: str, label: str) -> Item:
    row = {"file": f"{original}_{label}", "label": label, "original": original}
    return Item(Path(row["file"]), tuple(BRAIN.target(row)), group, row)


def test_donors_are_pairs_of_one_slice() -> None:
    items = [
        item("p1", "a", "glioma"), item("p1", "a", "none"),
        item("p1", "b", "none"),
        item("p2", "c", "none"), item("p3", "c", "glioma"),
        item("p4", "", "none"),
    ]  # fmt: skip
    images = {n: SICK if one.target[0] else CLEAN for n, one in enumerate(items)}
    (found,) = donors(items, images, healthy=3)
    assert torch.equal(found.target, GLIOMA)
    assert found.clean is CLEAN and found.sick is SICK


def test_only_kinds_with_one_label_for_nothing_found_can_be_operated_on() -> None:
    assert healthy_label(BRAIN) == 3
    assert healthy_label(TASKS["chest_xray"]) is None
    assert healthy_label(TASKS["gate"]) is None


def test_a_run_operates_on_what_it_learns_from_and_on_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    folder.mkdir()
    rows = []
    for patient in range(12):
        for label, picture in (("none", CLEAN), ("glioma", SICK)):
            file = f"{patient}_{label}.png"
            Image.fromarray((picture * 255).astype(np.uint8)).save(folder / file)
            rows.append({"file": file, "label": label, "group": f"p{patient}", "original": f"{patient}"})
    write_manifest(folder, rows)
    path = tmp_path / "heads.yaml"
    path.write_text(
        "{kind: brain_mri, version: 0.0.1, sources: [{manifest: heads/manifest.csv}], workers: 0}"
    )
    changes = ["preprocessing.size=128", "val_fraction=0.25", "batch_size=8"]
    config = load_config(path, [*changes, "augmentation.transplant=1.0", "augmentation.cross=1.0"])
    splits = make_splits(config, tmp_path)
    learnt = loader(config, splits.train, True).dataset
    assert len(learnt.transplant.donors) == len(splits.train) // 2
    assert set(learnt.cross.others) == set(range(len(splits.train)))
    nothing = next(n for n, one in enumerate(splits.train) if one.target[3] == 1)
    labels = {int(learnt[nothing, seed][1].argmax()) for seed in range(20)}
    assert labels == {0, 3}
    for training, augmented in ((False, None), (False, True)):
        judged = loader(config, splits.val, training, augmented).dataset
        assert judged.transplant is None and judged.cross is None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("knee_xray", "needs pictures made by `mirror`"),
        ("chest_xray", "no single label that says that nothing was found"),
    ],
)
@pytest.mark.parametrize("key", ["transplant", "cross"])
def test_without_pairs_the_run_stops_at_once(
    config_path: Path, data_dir: Path, key: str, kind: str, message: str
) -> None:
    config = load_config(config_path, [f"augmentation.{key}=0.5"])
    items = make_splits(config, data_dir).train
    with pytest.raises(TrainingError, match=message) as stopped:
        loader(dataclasses.replace(config, kind=kind), items, True)
    assert f"augmentation.{key}" in str(stopped.value)
