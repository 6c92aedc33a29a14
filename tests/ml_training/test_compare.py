"""`compare`: the same folds side by side, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ml_training.__main__ import main
from ml_training.compare import Row, compare, plain, table
from ml_training.cv import cross_validate
from ml_training.errors import TrainingError
from ml_training.run_folder import RUN
from ml_training.specs import load_config
from ml_training.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(data, a cross-validation of one epoch) in the tiny world."""
    from tests.ml_training.conftest import CONFIG, make_world

    root = tmp_path_factory.mktemp("compare")
    make_world(root / "data")
    (root / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    config = load_config(root / "tiny.yaml", ["epochs=1"])
    cross_validate(config, root / "data", root / "plain", 2, progress=False)
    return root / "data", root / "plain"


def _answering(run: Path, folder: Path, right: float) -> Path:
    """A copy of a run whose networks answer a share of the held images right and the rest wrong."""
    shutil.copytree(run, folder)
    for fold in (1, 2):
        path = folder / f"fold{fold}" / "held.json"
        answers = json.loads(path.read_text())
        chosen = [int(name[:3]) % 5 for name in answers["files"]]
        rng = np.random.default_rng(fold)
        guess = [k if rng.random() < right else (k + 1) % 5 for k in chosen]
        answers["probabilities"] = (0.02 + 0.9 * np.eye(5)[guess]).tolist()
        path.write_text(json.dumps(answers))
    return folder


@pytest.mark.slow
def test_a_better_run_is_seen_as_better_and_the_same_as_the_same(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, plain = runs
    worse = _answering(plain, tmp_path / "worse", 0.5)
    better = _answering(plain, tmp_path / "better", 0.9)
    same = shutil.copytree(worse, tmp_path / "same")
    command = ["compare", str(worse), str(same), str(better), "--data-dir", str(data)]
    assert main([*command, "--json"]) == 0
    first, again, ahead = json.loads(capsys.readouterr().out)
    assert not first["differences"] and set(first["figures"]) == {"log loss", "accuracy", "kappa"}
    for own in again["differences"].values():
        assert own == {"value": 0.0, "ci95": [0.0, 0.0]}
    gain = ahead["differences"]["accuracy"]
    assert gain["ci95"][0] > 0.2 and gain["ci95"][0] <= gain["value"] <= gain["ci95"][1]
    assert gain["value"] == pytest.approx(
        ahead["figures"]["accuracy"] - first["figures"]["accuracy"], abs=2e-4
    )
    assert ahead["differences"]["log loss"]["ci95"][1] < 0
    shown = table(compare([worse, better], data)).splitlines()
    assert shown[0] == "| run | log loss | accuracy | kappa |" and shown[3].startswith("| better | ")


@pytest.mark.slow
def test_other_folds_and_unfinished_ones_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    data, plain = runs
    config = load_config(plain.parent / "tiny.yaml", ["epochs=1", "split_seed=7"])
    cross_validate(config, data, tmp_path / "other", 2, progress=False)
    with pytest.raises(TrainingError, match="other has other items or folds than"):
        compare([plain, tmp_path / "other"], data)
    unfinished = shutil.copytree(plain, tmp_path / "unfinished")
    (unfinished / "fold2" / "held.json").unlink()
    assert main(["compare", str(plain), str(unfinished), "--data-dir", str(data)]) == 2
    assert main(["compare", str(tmp_path / "nowhere"), "--data-dir", str(data)]) == 2


@pytest.mark.slow
def test_folds_may_start_from_a_run_that_saw_none_of_their_images(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    data, plain = runs
    seen = tmp_path / "seen"
    train(load_config(plain.parent / "tiny.yaml", ["epochs=1"]), data, seen, progress=False)
    start = [f"init={seen / 'best.ckpt'}", "epochs=1"]
    with pytest.raises(TrainingError, match="has learnt from held items"):
        cross_validate(load_config(plain.parent / "tiny.yaml", start), data, tmp_path / "a", 2)
    about = json.loads((seen / RUN).read_text())
    about["learnt"] = ["someone else's"]
    (seen / RUN).write_text(json.dumps(about))
    folds = cross_validate(
        load_config(plain.parent / "tiny.yaml", start), data, tmp_path / "b", 2, progress=False
    )
    assert folds is not None and folds["items"] == 120
    about["learnt"] = []
    (seen / RUN).write_text(json.dumps(about))
    with pytest.raises(TrainingError, match="has learnt from held items"):
        cross_validate(load_config(plain.parent / "tiny.yaml", start), data, tmp_path / "c", 2)


def test_a_figure_that_is_not_defined_is_said_to_be_so() -> None:
    rows = [Row(Path("a"), {"kappa": None}, {}), Row(Path("b"), {"kappa": 0.5}, {"kappa": (None, [])})]
    assert table(rows).splitlines()[2:] == ["| a | not defined |", "| b | 0.500 (not defined) |"]
    assert plain(rows)[0]["figures"] == {"kappa": None}
    assert plain(rows)[1]["differences"] == {"kappa": {"value": None, "ci95": []}}
