"""PMI's model bundles: a MONAI bundle directory whose labels, preprocessing, calibration and thresholds
travel with the weights.

`configs/metadata.json` holds MONAI's keys and ours, and the sha256 of every other file; a bundle's own hash
is that of its metadata. Nothing in a bundle is executed while serving: `$` expressions of `inference.json`
are for MONAI's command line only, weights are safetensors and load strictly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ml_training.calibrate import Calibration
from ml_training.errors import BundleError, TrainingError
from ml_training.ood import OutOfDistribution
from ml_training.specs import NetworkSpec, PreprocessingSpec

FORMAT = 1
METADATA = "configs/metadata.json"
WEIGHTS = "models/model.safetensors"
CLAIM = "docs/CLAIM.md"
# Part of the cached file's name: raise it when the exported graph changes.
_ONNX_FORMAT = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelSpec:
    """One output of a bundle; see `ml_training.labels.Label`.

    The operating points are calibrated probabilities.
    """

    name: str
    condition: str
    high_sensitivity: float
    high_specificity: float
    claimed: bool = True
    limits: str = ""
    ages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Make one with `Bundle.load`.
    """

    path: Path
    metadata: dict[str, Any]
    sha256: str
    kind: str
    version: str
    activation: str
    labels: list[LabelSpec]
    preprocessing: PreprocessingSpec
    network: NetworkSpec
    calibration: Calibration

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read and verify a bundle directory.

        Raises:
            BundleError: it is missing, a file is missing or altered, or the metadata are not of this format.
        """
        try:
            raw = (path / METADATA).read_bytes()
        except OSError as error:
            raise BundleError(f"{path.name}: no {METADATA}") from error
        try:
            metadata = json.loads(raw)
            if metadata["format"] != FORMAT:
                raise BundleError(f"{path.name}: format {metadata['format']} is not supported")
            _verify(path, metadata["files"])
            labels = [
                LabelSpec(**{**label, "ages": tuple(label.get("ages", ()))}) for label in metadata["labels"]
            ]
            network = metadata["network"]
            return cls(
                path=path,
                metadata=metadata,
                sha256=hashlib.sha256(raw).hexdigest(),
                kind=metadata["kind"],
                version=metadata["version"],
                activation=metadata["activation"],
                labels=labels,
                preprocessing=PreprocessingSpec(**metadata["preprocessing"]),
                network=NetworkSpec(**{**network, "block_config": tuple(network["block_config"])}),
                calibration=Calibration.from_plain(metadata["calibration"], metadata["activation"]),
            )
        except (KeyError, TypeError, ValueError, TrainingError) as error:
            raise BundleError(f"{path.name}: metadata are not a PMI bundle's ({error!r})") from error

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def label_names(self) -> list[str]:
        return [label.name for label in self.labels]

    @cached_property
    def ood(self) -> OutOfDistribution | None:
        """Statistics of the training images' embeddings, where the bundle has them."""
        raw = self.metadata.get("ood")
        return OutOfDistribution.from_plain(raw) if raw else None

    def predict_probabilities(
        self, logits: np.ndarray, age_group: str | Sequence[str] | None = None
    ) -> np.ndarray:
        """Calibrated probabilities (N, K) of logits (N, K).

        `age_group` is that of all rows, or one per row; where the bundle has no calibration for it, or it is
        unknown, the common one is taken.
        """
        return self.calibration(np.asarray(logits, dtype=np.float64), age_group)

    def labels_for(self, age_group: str) -> list[LabelSpec]:
        """The labels with the operating points of an age group, where the bundle has its own for it."""
        own = (self.metadata.get("operating_points_by_age") or {}).get(age_group, {})
        return [dataclasses.replace(label, **own.get(label.name, {})) for label in self.labels]

    def describe(self, logits: np.ndarray) -> str:
        """The first row's probabilities as JSON, for the command line."""
        first = self.predict_probabilities(logits)[0]
        return json.dumps(dict(zip(self.label_names, first.round(4).tolist(), strict=True)))

    @cached_property
    def _tensors(self) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self.path / WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{self.path.name}: weights cannot be read ({error})") from error

    @cached_property
    def weights_matrix(self) -> np.ndarray:
        """Classifier weights (K, C) float32: a label's class activation map is its row times the
        features."""
        return self._tensors["class_layers.out.weight"].astype(np.float32)

    @cached_property
    def bias(self) -> np.ndarray:
        """Classifier bias (K,) float32."""
        return self._tensors["class_layers.out.bias"].astype(np.float32)

    def torch_network(self) -> Any:
        """The `ReadingNetwork` with these weights, in evaluation mode.

        Imports torch.

        Raises:
            BundleError: weights do not fit the network exactly.
        """
        import torch

        from ml_training.networks import ReadingNetwork, build_densenet

        densenet = build_densenet(self.network, len(self.labels))
        own = densenet.state_dict()
        try:
            state = {key: torch.from_numpy(value).to(own[key].dtype) for key, value in self._tensors.items()}
            densenet.load_state_dict(state, strict=True)
        except (KeyError, RuntimeError) as error:
            raise BundleError(f"{self.path.name}: weights do not fit the network ({error})") from error
        return ReadingNetwork(densenet).eval()

    def onnx(self, cache_dir: Path) -> Path:
        """The bundle as an ONNX file in `cache_dir`, exported on first use and found by hash afterwards.

        Input `image` (N, 1, S, S); outputs `logits` (N, K), `features` (N, C, h, w), `embedding` (N, C).
        """
        target = cache_dir / f"{self.kind}-{self.sha256[:32]}-{_ONNX_FORMAT}.onnx"
        if not target.is_file():
            cache_dir.mkdir(parents=True, exist_ok=True)
            export_onnx(self.torch_network(), self.preprocessing.size, target)
        return target


def _verify(path: Path, files: dict[str, str]) -> None:
    if WEIGHTS not in files:
        raise BundleError(f"{path.name}: metadata name no weights")
    for name, expected in files.items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()):
            raise BundleError(f"{path.name}: {name} points outside the bundle")
        try:
            actual = hashlib.sha256(file.read_bytes()).hexdigest()
        except FileNotFoundError as error:
            raise BundleError(f"{path.name}: {name} is missing") from error
        except OSError as error:
            raise BundleError(f"{path.name}: {name} cannot be read ({error.strerror})") from error
        if actual != expected:
            raise BundleError(f"{path.name}: {name} does not match its sha256")


def export_onnx(network: Any, size: int, target: Path) -> None:
    """Write `network` as ONNX; the file appears whole or not at all, so that two workers may race."""
    import torch

    # The exporter explains itself at length; a serving process has no use for it.
    for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        draft = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, size, size),),
            draft,
            input_names=["image"],
            output_names=["logits", "features", "embedding"],
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=1024)}},
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        draft.replace(target)


def write_bundle(
    path: Path, metadata: dict[str, Any], network: Any, card: str, inference: dict[str, Any], claim: str = ""
) -> Bundle:
    """Write a bundle and load it back.

    `metadata` lacks `format` and `files`; `network` is a `ReadingNetwork`; `claim` is the reporting
    table. All of it is written beside an existing bundle at `path` before anything of that is replaced, its
    metadata last: a full disk leaves the old one whole, and one half replaced never verifies.

    Raises:
        BundleError: it cannot be written, for example because the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.densenet.state_dict().items()
    }
    texts = {"configs/inference.json": json.dumps(inference, indent=1) + "\n", "docs/README.md": card}
    if claim:
        texts[CLAIM] = claim
    fresh = {name: path / f"{name}.new" for name in (WEIGHTS, *texts, METADATA)}
    try:
        for draft in fresh.values():
            draft.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, fresh[WEIGHTS])
        fresh[WEIGHTS].chmod(0o644)  # safetensors writes for its owner only, and a server is another user
        for name, text in texts.items():
            fresh[name].write_text(text, encoding="utf-8")
        files = {name: hashlib.sha256(fresh[name].read_bytes()).hexdigest() for name in (WEIGHTS, *texts)}
        whole = {"format": FORMAT, **metadata, "files": files}
        fresh[METADATA].write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        (path / METADATA).unlink(missing_ok=True)
        for name, draft in fresh.items():
            draft.replace(path / name)
    except (SafetensorError, OSError) as error:
        for draft in fresh.values():
            with suppress(OSError):
                draft.unlink()
        raise BundleError(f"the bundle {path} cannot be written ({error})") from error
    return Bundle.load(path)
