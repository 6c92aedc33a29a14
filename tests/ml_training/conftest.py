"""A tiny world: three drawn 'knee grades', small enough for a DenseNet of a few thousand weights."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ml_training.publish import publish
from ml_training.specs import TrainConfig, load_config
from ml_training.train import train

CONFIG = """
kind: knee_xray
version: 0.0.1
sources:
  - {manifest: tiny/manifest.csv, group_column: patient, test_column: split, test_values: [test]}
preprocessing: {size: 32}
network: {init_features: 8, growth_rate: 4, block_config: [2, 2, 2, 2]}
augmentation: {rotate_degrees: 2, scale: 0.02, stretch: 0, translate: 0, gamma: 0, noise: 0, dropout_holes: 0}
epochs: 6
batch_size: 16
learning_rate: 0.01
val_fraction: 0.2
workers: 0
intended_use: Tests only.
limits: [It knows drawn stripes only.]
"""


def draw(grade: int, seed: int) -> np.ndarray:
    """A 40 x 48 picture whose bright bar gets wider with the grade."""
    rng = np.random.default_rng(seed)
    image = rng.normal(60, 4, (40, 48))
    image[:, 4 : 8 + grade * 9] += 120
    return np.clip(image, 0, 255).astype(np.uint8)


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as `manifest.csv`."""
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_world(root: Path) -> list[dict[str, str]]:
    """Draw 150 pictures of 30 patients under `root/tiny` and return the manifest's rows."""
    folder = root / "tiny"
    folder.mkdir(parents=True)
    rows = []
    for seed in range(150):
        grade = seed % 5
        patient = seed // 5
        name = f"{seed:03d}.png"
        Image.fromarray(draw(grade, seed)).save(folder / name)
        part = "test" if patient % 5 == 0 else "train"
        rows.append({"file": name, "label": str(grade), "patient": f"p{patient}", "split": part})
    write_manifest(folder, rows)
    return rows


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Networks this small only wait for each other on several threads."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_rows(tmp_path: Path) -> list[dict[str, str]]:
    return make_world(tmp_path / "data")


@pytest.fixture
def data_dir(tmp_path: Path, tiny_rows: list[dict[str, str]]) -> Path:
    return tmp_path / "data"


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def config(config_path: Path) -> TrainConfig:
    return load_config(config_path)


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    make_world(root / "data")
    path = root / "tiny.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    config = load_config(path)
    train(config, root / "data", root / "run", progress=False)
    return publish(config, root / "data", root / "run", root / "bundles")


@pytest.fixture
def published_run(_published: Path) -> Path:
    """The run folder of `bundle_path`; to be copied, not changed."""
    return _published.parent.parent / "run"


@pytest.fixture
def bundle_path(_published: Path, tmp_path: Path) -> Path:
    """A published bundle of the tiny world that a test may spoil."""
    copy = tmp_path / "bundles" / "knee_xray"
    shutil.copytree(_published, copy)
    return copy
