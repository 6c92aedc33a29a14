"""`evaluate --surroundings`: what frames around images do to a bundle's answers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ml_training.__main__ import main
from ml_training.bundle import Bundle
from ml_training.evaluation import choose, evaluate
from ml_training.labels import task_of
from ml_training.surroundings import SURROUNDINGS, surroundings

WHERE = ["split=test"]


def test_every_surrounding_is_measured_and_the_first_is_none(
    bundle_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = data_dir / "tiny" / "manifest.csv"
    command = ["evaluate", str(bundle_path), str(manifest), "--where", *WHERE, "--group-column", "patient"]
    assert main([*command, "--surroundings"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == list(SURROUNDINGS)
    plain = evaluate(bundle_path, manifest, WHERE, "patient")
    assert found["as it is"]["accuracy"] == plain["all"]["accuracy"]["value"]
    assert main([*command, "--label", "3"]) == 2
    assert main([*command, "--surroundings", "--out", "anywhere"]) == 2


def test_with_margins_a_frame_changes_little(bundle_path: Path, data_dir: Path) -> None:
    bundle = Bundle.load(bundle_path)
    items = choose(data_dir / "tiny" / "manifest.csv", task_of(bundle.kind), WHERE, "patient")
    assert len(items) == 30
    names = ["black frame, 20 % a side", "white frame, 5 % a side"]
    loose = surroundings(bundle, items)
    framed = dataclasses.replace(
        bundle, preprocessing=dataclasses.replace(bundle.preprocessing, margins=(0.0, 0.0))
    )
    steady = surroundings(framed, items)

    def moved(found: dict[str, dict[str, float]]) -> float:
        return float(
            np.mean([abs(found[name]["log_loss"] - found["as it is"]["log_loss"]) for name in names])
        )

    assert moved(steady) < moved(loose)


def test_changes_do_what_they_are_called() -> None:
    image = np.random.default_rng(0).uniform(10, 200, (50, 80)).astype(np.float32)
    shapes = [change(image).shape for change in SURROUNDINGS.values()]
    assert shapes == [(50, 80), (70, 112), (54, 88), (68, 108), (50, 112), (42, 68), (34, 56)]
    low, high = image.min(), image.max()
    assert SURROUNDINGS["black frame, 20 % a side"](image)[0, 0] == low
    assert SURROUNDINGS["white frame, 5 % a side"](image)[0, 0] == high
    for change in SURROUNDINGS.values():
        assert low <= change(image).min() and change(image).max() <= high
