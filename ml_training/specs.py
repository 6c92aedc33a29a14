"""Typed configuration: what is read, how it is prepared, which network learns it, and how long.

Every class rejects unknown keys, so that a typo in a config stops a run in its first second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ml_training.errors import TrainingError

LITE_ARCHITECTURES = ("efficientnet_lite0", "efficientnet_lite2")
ARCHITECTURES = ("densenet", *LITE_ARCHITECTURES)
PRECISIONS = ("auto", "32", "bf16")
# What a config says about a model rather than about how it was trained.
WORDS = ("version", "changelog", "intended_use", "limits", "training_data")
# The volumes that a pooling is fitted on have at least so many slices; of fewer the fit says nothing.
SHORTEST_VOLUME = 20
# The ways of pooling a volume's slices, and the keys that each of them takes (`inference/slices.py`).
POOLING = {
    "window": ("doubtful", "max_slices"),
    "mean": ("max_slices",),
    "top_mean": ("fraction", "max_slices"),
}


@dataclass(frozen=True)
class PreprocessingSpec:
    """How any 2D image becomes the network's input; shared by training and serving.

    With `margins` (least, most) it is framed first: the flat margin on each of its sides, black, white or
    whatever, becomes at least and at most so wide, as a share of the longer side of what lies between the
    margins; what is added is as dark as the image's darkest value. Without them it stays as it is.

    The image is padded with its darkest value to a square, resized (area averaging when shrinking) to
    `size` x `size` pixels, and its intensities between the two percentiles are mapped to 0..1, clipped.
    """

    size: int = 128
    lower_percentile: float = 0.5
    upper_percentile: float = 99.5
    margins: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise TrainingError(f"preprocessing.size must be a multiple of 32, not {self.size}")
        if not 0 <= self.lower_percentile < self.upper_percentile <= 100:
            raise TrainingError("preprocessing percentiles must satisfy 0 <= lower < upper <= 100")
        # Out of a bundle's JSON it comes as a list.
        object.__setattr__(self, "margins", tuple(self.margins))
        if self.margins and not (len(self.margins) == 2 and 0 <= self.margins[0] <= self.margins[1] <= 0.5):
            raise TrainingError("preprocessing.margins must be [least, most] with 0 <= least <= most <= 0.5")


@dataclass(frozen=True)
class NetworkSpec:
    """Arguments of `monai.networks.nets.DenseNet`; (64, 32, (6, 12, 24, 16)) is DenseNet121.

    `architecture: efficientnet_lite0` (or `_lite2`) ignores the other keys and makes a teacher (see
    `TrainConfig.teachers`): it can be trained and learnt from, never published.
    """

    architecture: str = "densenet"
    init_features: int = 32
    growth_rate: int = 16
    block_config: tuple[int, ...] = (6, 12, 24, 16)
    dropout_prob: float = 0.0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise TrainingError(
                f"network.architecture must be one of {', '.join(ARCHITECTURES)}, not {self.architecture!r}"
            )
        # Half and quarter of the channels go from block to block.
        if self.init_features < 2 or self.growth_rate < 1:
            raise TrainingError("network.init_features must be 2 or more and network.growth_rate 1 or more")
        if not self.block_config or min(self.block_config) < 1:
            raise TrainingError("network.block_config must be a list of numbers of layers, each 1 or more")
        if not 0 <= self.dropout_prob < 1:
            raise TrainingError(f"network.dropout_prob must lie in [0, 1), not {self.dropout_prob}")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for MONAI's DenseNet."""
        plain = dataclasses.asdict(self)
        del plain["architecture"]
        return plain


@dataclass(frozen=True)
class AugmentationSpec:
    """Strengths of the training-time augmentation; 0 switches a part off.

    `elastic` is how far a control point of a grid of eight by eight may be drawn, as a share of the image.
    `histogram_shift` and `ellipse_mask` are probabilities: of a random monotone remapping of the grey values,
    as between MR sequences and scanners, and of keeping only an ellipse around the foreground, as brain
    extraction does. `look_swap` is the probability of taking over the grey values' distribution of another
    item, whatever that shows, so that the distribution tells nothing. `transplant` is the probability that a
    slice without a tumour gets a piece of another head: as often a lesion as healthy tissue (see
    `data/transplant.py`; it needs pairs made by `mirror` among the training items). `cross` is the
    probability that a picture made by `mirror` gets its right half from another head (`data/crossing.py`).
    """

    flip: bool = False
    rotate_degrees: float = 10.0
    shear: float = 0.05
    scale: float = 0.12
    stretch: float = 0.08
    translate: float = 0.06
    elastic: float = 0.0
    gamma: float = 0.4
    bias_field: float = 0.0
    noise: float = 0.03
    blur: float = 0.8
    border_mask: float = 0.0
    dropout_holes: int = 2
    histogram_shift: float = 0.0
    ellipse_mask: float = 0.0
    look_swap: float = 0.0
    transplant: float = 0.0
    cross: float = 0.0

    def __post_init__(self) -> None:
        for key, most in _STRENGTHS.items():
            value = getattr(self, key)
            if not 0 <= value <= most:  # also what is no number
                raise TrainingError(f"augmentation.{key} must lie between 0 and {most}, not {value}")


# Probabilities, shares of the image's side, and what an image is still to be known by.
_STRENGTHS: dict[str, float] = {
    "rotate_degrees": 180,
    "shear": 1,
    "scale": 0.9,
    "stretch": 0.9,
    "translate": 1,
    "elastic": 0.5,
    "gamma": 5,
    "bias_field": 5,
    "noise": 1,
    "blur": 20,
    "border_mask": 0.45,
    "dropout_holes": 100,
    "histogram_shift": 1,
    "ellipse_mask": 1,
    "look_swap": 1,
    "transplant": 1,
    "cross": 1,
}


@dataclass(frozen=True)
class SourceSpec:
    """One manifest.

    `label` overrides the row's own label (the gate learns whole data sets as one class), `task` is the kind
    whose labels they are where a backbone learns several. Test items are the
    rows whose `test_column` holds one of `test_values` or, where there is no such column, the `test_fraction`
    of the groups that a hash picks. `limit` draws so many of the others; 0 takes all. `learn_only` keeps the
    others out of validation too: for a few groups that would tell nothing there. `follows` is the manifest of
    an earlier source whose groups these are: each item goes where its group went.
    """

    manifest: str
    label: str = ""
    task: str = ""
    group_column: str = "group"
    test_column: str = ""
    test_values: tuple[str, ...] = ()
    test_fraction: float = 0.0
    limit: int = 0
    learn_only: bool = False
    follows: str = ""

    def __post_init__(self) -> None:
        for key in ("test_column", "test_values", "test_fraction", "learn_only"):
            if self.follows and getattr(self, key):
                raise TrainingError(
                    f"sources: {self.manifest}: leave out {key}, since it follows {self.follows}, which says "
                    "where each group goes"
                )
        if bool(self.test_column) != bool(self.test_values):
            pair = ("test_column", "test_values")
            given, lacks = pair if self.test_column else pair[::-1]
            raise TrainingError(
                f"sources: {self.manifest}: {given} needs {lacks}, else nothing is kept apart"
            )
        if self.test_column and self.test_fraction:
            raise TrainingError(f"sources: {self.manifest}: test_fraction and test_column exclude each other")
        if not 0 <= self.test_fraction < 1:
            raise TrainingError(f"sources: {self.manifest}: test_fraction lies in [0, 1)")


# Outside of these a run breaks off in its middle, or learns nonsense in silence.
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 100_000),
    "learning_rate": (1e-9, 10),
    "weight_decay": (0, 10),
    "label_smoothing": (0, 0.99),
    "ordinal_smoothing": (0, 1),
    "ordinal_loss": (0, 1000),
    "balance_power": (0, 1),
    "calibration_draws": (0, 1000),
    "ema_decay": (0, 0.99999),
    "distil_weight": (0, 1),
    "distil_temperature": (0.01, 100),
    "distil_features": (0, 1000),
    "mixup": (0, 100),
    "patience": (0, 100_000),
    "synthetic_negatives": (0, 10_000_000),
    "turned_negatives": (0, 1),
    "seed": (0, 2**32 - 1),
    "split_seed": (0, 2**32 - 1),
    "workers": (0, 1024),
}


@dataclass(frozen=True)
class TrainConfig:
    """One run, from manifest to checkpoint.

    `init` is a checkpoint or a bundle's weights, whose fitting tensors start the network, or `imagenet` (for
    DenseNet121 and the EfficientNets). `teachers` are run folders with `config.json` and `best.ckpt`, or
    bundles: their mean probabilities, softened by `distil_temperature`, make up the share `distil_weight` of
    the target (Hinton et al. 2015, arXiv:1503.02531). With `distil_right_only` they have no say on images
    whose label they do not put first (labels that exclude each other only). `distil_features` is the weight
    of the distance to the first teacher's features beside that, on all images (`networks.FeatureGuide`).
    `mixup` is the parameter of its beta distribution (Zhang et al. 2018, arXiv:1710.09412); teachers answer
    for the mixture (Beyer et al. 2022, arXiv:2106.05237).

    `split_seed` draws validation items and folds, `seed` everything else: runs that differ in `seed` alone
    may teach each other. `val_fraction: 0` keeps nothing back: the last epoch's weights are the run's, and
    what a bundle must know about its own answers comes from `cross_validation`, the folder of a finished
    `train --cv` of the same recipe, whose networks read the items that they never learnt from.

    For grades, `ordinal_smoothing` is the share of the target that goes to the neighbouring grades, and
    `ordinal_loss` the weight of the squared earth mover's distance between answer and target beside the
    cross-entropy (Hou et al. 2016, arXiv:1611.05916).

    `calibration_draws` is how many augmented variants of each validation image its calibration is fitted on,
    beside the image itself: few patients look easier than the next ones are.

    `synthetic_negatives` are so many drawn pictures that nothing may be read from; `turned_negatives` is the
    share of the scans that a gate also sees upside down, on their side or with inverted grey values, as
    `other`.

    `pooling` is how a volume's slices become one reading: `method` (`window`, fitted on volumes simulated
    from validation slices; `mean`; `top_mean`) with its keys, see `POOLING`.

    `precision: auto` computes in bf16 on a GPU and in 32 bits on a CPU; `bf16` does so on a CPU as well,
    which pays where the processor has instructions for it. Weights stay in 32 bits.
    """

    kind: str
    version: str
    sources: tuple[SourceSpec, ...]
    preprocessing: PreprocessingSpec = field(default_factory=PreprocessingSpec)
    network: NetworkSpec = field(default_factory=NetworkSpec)
    augmentation: AugmentationSpec = field(default_factory=AugmentationSpec)
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    ordinal_smoothing: float = 0.0
    ordinal_loss: float = 0.0
    balance_columns: tuple[str, ...] = ()
    balance_power: float = 0.5
    size_schedule: tuple[tuple[float, int], ...] = ()
    val_fraction: float = 0.12
    cross_validation: str = ""
    calibration_draws: int = 0
    ema_decay: float = 0.0
    init: str = ""
    teachers: tuple[str, ...] = ()
    distil_weight: float = 0.7
    distil_temperature: float = 2.0
    distil_right_only: bool = False
    distil_features: float = 0.0
    mixup: float = 0.0
    patience: int = 0
    synthetic_negatives: int = 0
    turned_negatives: float = 0.0
    seed: int = 20261123
    split_seed: int = 20261123
    workers: int = 1
    precision: str = "auto"
    pooling: dict[str, Any] = field(default_factory=dict)
    changelog: str = "first published version"
    intended_use: str = ""
    limits: tuple[str, ...] = ()
    training_data: tuple[dict[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise TrainingError(f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}")
        if not 0 <= self.val_fraction <= 0.5:
            raise TrainingError(f"val_fraction must lie between 0 and 0.5, not {self.val_fraction}")
        for key, (least, most) in _RANGES.items():
            value = getattr(self, key)
            if not least <= value <= most:  # also what is no number
                raise TrainingError(f"config.{key} must lie between {least} and {most}, not {value}")
        before = 0.0
        for until, size in self.size_schedule:
            if not before < until <= 1:
                raise TrainingError("size_schedule: shares of the run must rise, above 0 and at most 1")
            if size < 32 or size % 32:
                raise TrainingError(f"size_schedule: sizes are multiples of 32, not {size}")
            before = until
        if self.distil_features and not self.teachers:
            raise TrainingError("distil_features needs teachers, and there are none")
        if self.patience and not self.val_fraction:
            raise TrainingError("patience needs validation items, and val_fraction is 0")
        _check_pooling(self.pooling)


def _check_pooling(pooling: dict[str, Any]) -> None:
    """Raise TrainingError for a key or value that pooling a volume would not heed."""
    if not pooling:
        return
    method = pooling.get("method", "top_mean")
    if not isinstance(method, str) or method not in POOLING:
        raise TrainingError(f"pooling.method must be one of {', '.join(POOLING)}, not {method!r}")
    known = ("method", *POOLING[method])
    for key in pooling:
        if key not in known:
            raise TrainingError(f"pooling.{key}: unknown key of {method}; known: {', '.join(known)}")
    doubtful = pooling.get("doubtful", [])
    if not isinstance(doubtful, list) or not all(isinstance(name, str) for name in doubtful):
        raise TrainingError(f"pooling.doubtful: expected a list of labels, got {doubtful!r}")
    most = pooling.get("max_slices", 1)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise TrainingError(f"pooling.max_slices: expected a whole number of 1 or more, got {most!r}")
    share = pooling.get("fraction", 1)
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
        raise TrainingError(f"pooling.fraction: expected a share above 0 and at most 1, got {share!r}")


def build(cls: type, raw: Any, where: str) -> Any:
    """An instance of a dataclass of plain values; `where` is how an error names the place.

    Raises:
        TrainingError: unknown key or wrong type, naming the key.
    """
    if not isinstance(raw, dict):
        raise TrainingError(f"{where}: expected keys and values")
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    for key in raw:
        if key not in known:
            raise TrainingError(f"{where}.{key}: unknown key; known: {', '.join(sorted(known))}")
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in raw.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise TrainingError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TrainingError(f"{where}: expected a list")
        inner = typing.get_args(hint)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_convert(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(inner):
            raise TrainingError(f"{where}: expected {len(inner)} values, got {value!r}")
        return tuple(_convert(t, item, where) for t, item in zip(inner, value, strict=True))
    if hint is str and isinstance(value, int) and not isinstance(value, bool):
        # YAML reads `precision=32` and `fold: [4]` as numbers.
        return str(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        # YAML 1.1 takes `1e-3` for a word.
        with contextlib.suppress(ValueError):
            return float(value)
    if origin is dict and not isinstance(value, dict):
        raise TrainingError(f"{where}: expected keys and values, got {value!r}")
    if origin is dict or hint is Any:
        return value
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise TrainingError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def load_config(path: Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a YAML config; `overrides` are `dotted.key=value` with YAML values.

    Raises:
        TrainingError: unreadable file, unknown key or wrong type, naming the key.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TrainingError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise TrainingError(f"{path}: expected keys and values")
    return typing.cast(TrainConfig, build(TrainConfig, override(raw, overrides or []), "config"))


def override(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Put `dotted.key=value` with YAML values into a plain config, and return it.

    Raises:
        TrainingError: one that does not look like that, whose value is no YAML, or that reaches into a list
            or a single value.
    """
    for given in overrides:
        key, equals, text = given.partition("=")
        if not equals:
            raise TrainingError(f"override {given!r} must look like key=value")
        node = raw
        *parents, last = key.split(".")
        for depth, parent in enumerate(parents, start=1):
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                whole = ".".join(parents[:depth])
                raise TrainingError(f"override {given!r}: {whole} has no keys of its own; give it as a whole")
        try:
            node[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise TrainingError(f"override {given!r}: {' '.join(str(error).split())}") from error
    return raw


def config_from_plain(raw: dict[str, Any]) -> TrainConfig:
    """The config that `to_plain` described.

    Raises:
        TrainingError: unknown key or wrong type, naming the key.
    """
    return typing.cast(TrainConfig, build(TrainConfig, raw, "config"))


def to_plain(spec: Any) -> dict[str, Any]:
    """A JSON-ready dictionary of a spec."""
    return dataclasses.asdict(spec)
