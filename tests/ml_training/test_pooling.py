"""Volumes out of slices: a head with a tumour on a run of slices, a healthy one with scattered mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inference.calls import call_of
from ml_training import calibrating, pooling
from ml_training.data.manifest import Item
from ml_training.errors import TrainingError
from ml_training.labels import task_of
from ml_training.specs import SourceSpec, TrainConfig

TASK = task_of("brain_mri")
NORMAL = TASK.names.index("none")
RULE = {"method": "window", "width": 0.1, "slope": 1.0, "intercept": 0.0}


def slices(*columns: tuple[int, float]) -> np.ndarray:
    """One row per (label, probability), the rest shared evenly."""
    rows = np.full((len(columns), 4), 0.0)
    for row, (label, probability) in zip(rows, columns, strict=True):
        row[:] = (1 - probability) / 3
        row[label] = probability
    return rows


def test_scattered_mistakes_weigh_less_than_a_run() -> None:
    healthy, meningioma = (NORMAL, 0.97), (1, 0.9)
    scattered = slices(*([healthy] * 9 + [meningioma]) * 4)
    together = slices(*[healthy] * 18, *[meningioma] * 4, *[healthy] * 18)
    loose, _ = pooling.window_pool(scattered, NORMAL, RULE)
    run, weights = pooling.window_pool(together, NORMAL, RULE)
    assert loose[NORMAL] > 0.6
    assert run.argmax() == 1 and run[1] > 0.8
    assert set(np.flatnonzero(weights)) == {18, 19, 20, 21}
    assert weights.sum() == pytest.approx(1)
    assert run.sum() == pytest.approx(1) and loose.sum() == pytest.approx(1)


def test_the_order_of_labels_is_kept() -> None:
    pooled, _ = pooling.window_pool(slices(*[(2, 0.94)] * 6), NORMAL, RULE)
    assert pooled.argmax() == 2


def test_two_slices_are_a_volume_too() -> None:
    pooled, weights = pooling.window_pool(slices((0, 0.9), (NORMAL, 0.9)), NORMAL, RULE)
    assert weights == pytest.approx([0.5, 0.5])
    assert pooled.sum() == pytest.approx(1)


@pytest.mark.parametrize("count", [2, 3, 5, 19])
def test_few_slices_that_all_show_a_disease_are_no_healthy_volume(count: int) -> None:
    rule = {**RULE, "slope": 1.14, "intercept": -3.39}
    pooled, _ = pooling.window_pool(slices(*[(0, 0.85)] * count), NORMAL, rule)
    assert pooled.argmax() == 0 and pooled[0] == pytest.approx(0.85, abs=0.05)
    healthy, _ = pooling.window_pool(slices(*[(NORMAL, 0.95)] * count), NORMAL, rule)
    assert healthy[NORMAL] == pytest.approx(0.95, abs=0.01)


def _items() -> list[Item]:
    items = []
    for patient in range(12):
        for plane in ("axial", "coronal"):
            for number in range(3):
                row = {"file": f"t{patient}{plane}{number}", "plane": plane}
                items.append(Item(Path(row["file"]), (0.0, 1.0, 0.0, 0.0), f"p{patient}", row))
    for head in range(12):
        items += [
            Item(Path(f"h{head}{n}"), (0.0, 0.0, 0.0, 1.0), f"h{head}", {"file": f"h{head}{n}"})
            for n in range(4)
        ]
    return items


def _reader(confusion: float) -> object:
    """A network that calls each healthy slice a tumour with the probability `confusion`."""
    random = np.random.default_rng(3)

    def read(items: Sequence[Item], augmented: bool) -> np.ndarray:
        rows = []
        for item in items:
            wrong = item.target[NORMAL] == 1 and random.random() < confusion
            rows.append((1, 0.9) if item.target[1] == 1 or wrong else (NORMAL, 0.95))
        return slices(*rows)

    return read


@pytest.mark.parametrize("confusion", [0.0, 0.15])
def test_fitted_pooling_tells_simulated_volumes_apart(confusion: float) -> None:
    volumes = pooling.simulate(TASK, NORMAL, _items(), _reader(confusion), seed=1)
    truth = np.array([volume.truth.argmax() for volume in volumes])
    assert {NORMAL, 1} == set(truth)
    fitted = pooling.fit(volumes, NORMAL)
    answers = pooling.read_volumes(volumes, NORMAL, fitted)
    assert (answers.argmax(1) == truth).mean() > 0.9
    assert np.allclose(answers.sum(1), 1)


def test_a_volume_holds_one_patient_in_one_plane_only() -> None:
    seen: list[str] = []

    def read(items: Sequence[Item], augmented: bool) -> np.ndarray:
        seen.extend(item.group for item in items if augmented)
        return slices(*[(1, 0.9) if item.target[1] == 1 else (NORMAL, 0.9) for item in items])

    volumes = pooling.simulate(TASK, NORMAL, _items(), read, seed=1)
    assert {group[0] for group in seen} == {"h"}, "patients' slices are never augmented copies"
    assert {volume.group[0] for volume in volumes if volume.truth[1]} == {"p"}


def test_without_healthy_slices_nothing_is_simulated() -> None:
    ill = [item for item in _items() if item.target[1]]
    assert pooling.simulate(TASK, NORMAL, ill, _reader(0), seed=1) == []


def test_a_missed_tumour_does_not_make_every_healthy_head_suspect() -> None:
    answers = slices(*[(NORMAL, 0.85)] * 19, (NORMAL, 0.4), (1, 0.9), (NORMAL, 0.99))
    truth = np.eye(4)[[NORMAL] * 20 + [1, 1]]
    points = {name: {"high_sensitivity": 0.02, "high_specificity": 0.5} for name in TASK.names}
    spared = pooling.spare_the_healthy(points, TASK, NORMAL, answers, truth)
    assert spared["meningioma"]["high_sensitivity"] == pytest.approx(0.1)
    assert spared["none"]["high_sensitivity"] == 0.02
    doubtful = slices(*[(NORMAL, 0.4)] * 20, (1, 0.9), (1, 0.9))
    spared = pooling.spare_the_healthy(points, TASK, NORMAL, doubtful, truth)
    assert spared["glioma"]["high_sensitivity"] == 0.2
    # What starts where all of them lie would be possible on all of them.
    spared = pooling.spare_the_healthy(points, TASK, NORMAL, np.full((22, 4), 0.25), truth)
    assert spared["glioma"]["high_sensitivity"] == 0.2501


def test_a_simulated_volume_never_makes_a_disease_likely_below_four_in_five() -> None:
    answers = slices(*[(NORMAL, 0.99)] * 20, (1, 0.9))
    truth = np.eye(4)[[NORMAL] * 20 + [1]]
    points = {name: {"high_sensitivity": 0.2, "high_specificity": 0.5} for name in TASK.names}
    points["glioma"]["high_specificity"] = 0.93
    spared = pooling.spare_the_healthy(points, TASK, NORMAL, answers, truth)
    assert {name: own["high_specificity"] for name, own in spared.items()} == {
        "glioma": 0.93,
        "meningioma": 0.8,
        "pituitary": 0.8,
        "none": 0.5,
    }


def test_what_volumes_cannot_tell_is_never_more_than_even_odds() -> None:
    surely = slices(*[(2, 0.97)] * 6)
    rule = {**RULE, "ceilings": pooling.ceilings(TASK, ["pituitary"])}
    free, _ = pooling.window_pool(surely, NORMAL, RULE)
    pooled, weights = pooling.window_pool(surely, NORMAL, rule)
    assert free[2] > 0.9 and 0.45 < pooled[2] <= 0.5
    assert pooled.sum() == pytest.approx(1.0) and pooled[:2] == pytest.approx(free[:2], abs=0.02)
    assert weights.sum() == pytest.approx(1.0)
    assert call_of(float(pooled[2]), 0.1, 0.8) == "possible"
    glioma = slices(*[(0, 0.97)] * 6)
    assert pooling.window_pool(glioma, NORMAL, rule)[0] == pytest.approx(
        pooling.window_pool(glioma, NORMAL, RULE)[0], abs=0.02
    )


def test_a_doubtful_label_does_not_draw_the_eye_away_from_another() -> None:
    """A suspicious gland low in the head, and a less suspicious lesion above it."""
    healthy, gland, lesion = (NORMAL, 0.95), (2, 0.99), (0, 0.9)
    head = slices(*[healthy] * 6, *[gland] * 5, *[healthy] * 6, *[lesion] * 5, *[healthy] * 8)
    rule = {**RULE, "ceilings": pooling.ceilings(TASK, ["pituitary"])}
    alone, _ = pooling.window_pool(head, NORMAL, RULE)
    pooled, weights = pooling.window_pool(head, NORMAL, rule)
    assert alone.argmax() == 2 and alone[0] < 0.1
    assert pooled.argmax() == 0 and pooled[0] > 0.8
    assert set(np.flatnonzero(weights)) <= set(range(17, 22))
    without = slices(*[healthy] * 6, *[gland] * 5, *[healthy] * 19)
    pooled, weights = pooling.window_pool(without, NORMAL, rule)
    assert pooled[0] < 0.1 and set(np.flatnonzero(weights)) <= set(range(6, 11))


def test_a_patients_own_normal_slices_are_the_rest_of_the_head() -> None:
    """Normal slices of every patient read one way, those of other heads another."""
    items = _items()
    for patient in range(12):
        row = {"file": f"t{patient}normal", "plane": "axial"}
        items.append(Item(Path(row["file"]), (0.0, 0.0, 0.0, 1.0), f"p{patient}", row))

    def read(items: Sequence[Item], augmented: bool) -> np.ndarray:
        return slices(
            *(
                (1, 0.9) if item.target[1] else (NORMAL, 0.8 if item.group[0] == "p" else 0.95)
                for item in items
            )
        )

    for volume in pooling.simulate(TASK, NORMAL, items, read):
        usual = 0.8 if volume.group[0] == "p" else 0.95
        normal = volume.slices[volume.slices[:, NORMAL] > 0.5]
        assert normal[:, NORMAL] == pytest.approx(usual)


@pytest.mark.parametrize("label", ["pituitry", "none"])
def test_a_doubtful_label_that_is_no_disease_is_named(label: str) -> None:
    config = TrainConfig(
        kind="brain_mri",
        version="0.0.1",
        sources=(SourceSpec(manifest="none.csv"),),
        pooling={"method": "window", "doubtful": [label]},
    )
    with pytest.raises(TrainingError, match=f"pooling.doubtful: '{label}' is no disease of brain_mri"):
        calibrating._pooling(TASK, config, _items(), _reader(0))


def test_how_many_slices_are_read_is_kept_beside_what_was_fitted() -> None:
    config = TrainConfig("brain_mri", "0.0.1", (), pooling={"method": "window", "max_slices": 40})
    assert calibrating._pooling(TASK, config, _items(), _reader(0))["max_slices"] == 40
    plain = TrainConfig("brain_mri", "0.0.1", (), pooling={"method": "window"})
    assert "max_slices" not in calibrating._pooling(TASK, plain, _items(), _reader(0))
