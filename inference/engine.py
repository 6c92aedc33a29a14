"""The reading itself: gate, preprocessing, one forward pass, calibrated probabilities, class activation maps.

No database, no web: a canonical volume goes in, a `Reading` comes out. Everything a model needs to know about
itself (labels, thresholds, preprocessing, pooling) comes from its bundle. Importing this module loads no
learning library; the first reading does.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cases.imaging.volume import CanonicalVolume
from inference import gate, gate_rules, heat, registry, slices
from inference.calls import NORMAL_CONDITIONS, CalledLabel, call_labels, operating_points
from inference.gate_rules import Refusal
from inference.reading import LabelFinding, Reading

if TYPE_CHECKING:
    from ml_training.bundle import Bundle, LabelSpec
    from ml_training.framing import Window
    from ml_training.runtime import OnnxClassifier, Outputs

BATCH = 16
_AGES = ("child", "adult")
GATE_SLICES = 12
_SQUARE = 0.05  # how far from square pixels may be before they are made square

Progress = Callable[[str], None]
# Slices and the kind they are to be read as -> which of them (N,) to read.
Familiar = Callable[[list[np.ndarray], str], np.ndarray]


class ModelBroken(Exception):
    """A bundle that should be usable is not; the message is for the log."""


@dataclass
class _Clock:
    """Milliseconds by stage."""

    spent: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + (time.perf_counter() - began) * 1000

    def milliseconds(self) -> dict[str, float]:
        """All stages and the total, rounded."""
        total = (time.perf_counter() - self.started) * 1000
        return {name: round(value, 1) for name, value in {**self.spent, "total": total}.items()}


class Reader:
    """One loaded bundle, ready to run. Safe to use from several threads."""

    def __init__(self, path: Path, onnx_cache: Path, threads: int = 0, sha256: str = "") -> None:
        """Raises `ModelBroken` when the bundle is missing, corrupt or not the one with `sha256`."""
        from ml_training.bundle import Bundle
        from ml_training.errors import BundleError
        from ml_training.labels import task_of
        from ml_training.runtime import OnnxClassifier
        from ml_training.transforms import serving_transform

        try:
            registry.inspect(path, sha256)
            self.bundle: Bundle = Bundle.load(path)
            self.classifier: OnnxClassifier = OnnxClassifier(self.bundle, onnx_cache, threads=threads)
        except (registry.BundleMissing, registry.BundleCorrupt, BundleError) as error:
            raise ModelBroken(str(error)) from error
        self.metadata: dict[str, Any] = self.bundle.metadata
        self.kind = str(self.metadata["kind"])
        self.exclusive = self.bundle.activation == "softmax"
        self.ordinal = task_of(self.kind).ordinal
        self.names = self.bundle.label_names
        self._transform = serving_transform(self.bundle.preprocessing)

    @property
    def planes(self) -> list[str]:
        """The planes that the model learnt; empty where planes mean nothing to it."""
        return list(self.metadata.get("planes") or [])

    @property
    def normal(self) -> int | None:
        """The column of the label that says that nothing was found."""
        for column, label in enumerate(self.bundle.labels):
            if label.condition in NORMAL_CONDITIONS:
                return column
        return None

    def window(self, images: list[np.ndarray]) -> Window | None:
        """What the network is shown of the slices (rows, columns) of one scan; None where that is all."""
        return self._transform.window(images)

    def prepare(self, images: list[np.ndarray], seen: Window | None = None) -> np.ndarray:
        """Slices (rows, columns) in any units to the network's input (N, 1, S, S).

        `seen` is the window of the scan that they belong to; without it each picture stands for itself.
        """
        return np.stack([self._transform(image, seen) for image in images]).astype(np.float32)

    def run(self, batch: np.ndarray) -> Outputs:
        """Logits, features and embedding of a batch (N, 1, S, S)."""
        return self.classifier.run(batch)


class Engine:
    """Reads scans with one bundle per kind and the gate. Bundles are loaded when they are first needed."""

    def __init__(
        self,
        paths: Mapping[str, Path],
        onnx_cache: Path,
        *,
        threads: int = 0,
        hashes: Mapping[str, str] | None = None,
    ) -> None:
        """`paths`: bundle folder by kind (`gate` among them). `hashes`: the metadata hash that each must
        have.
        """
        self._paths = dict(paths)
        self._hashes = dict(hashes or {})
        self._cache = onnx_cache
        self._threads = threads
        self._readers: dict[str, Reader] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_dir(cls, bundle_dir: Path, onnx_cache: Path, *, threads: int = 0) -> Engine:
        """An engine of the newest whole bundle of each kind under a folder. Broken bundles raise
        `ModelBroken`.
        """
        facts = []
        for folder in registry.bundle_folders(bundle_dir):
            try:
                facts.append(registry.inspect(folder))
            except (registry.BundleMissing, registry.BundleCorrupt) as error:
                raise ModelBroken(str(error)) from error
        newest = registry.newest_per_kind(facts)
        return cls(
            {kind: fact.path for kind, fact in newest.items()},
            onnx_cache,
            threads=threads,
            hashes={kind: fact.sha256 for kind, fact in newest.items()},
        )

    @property
    def kinds(self) -> list[str]:
        """The kinds that a bundle is there for."""
        return sorted(self._paths)

    def load_all(self) -> None:
        """Loads every bundle now. Raises `ModelBroken`."""
        for kind in self.kinds:
            self.reader(kind)

    def reader(self, kind: str) -> Reader | None:
        """The loaded bundle of a kind, or None when there is none. Raises `ModelBroken`."""
        with self._lock:
            if kind not in self._readers:
                if kind not in self._paths:
                    return None
                self._readers[kind] = Reader(
                    self._paths[kind], self._cache, self._threads, self._hashes.get(kind, "")
                )
            return self._readers[kind]

    def analyze(
        self,
        volume: CanonicalVolume,
        expected_kind: str | None = None,
        age_group: str = "unknown",
        *,
        progress: Progress | None = None,
        maps: bool = True,
    ) -> Reading:
        """Reads one scan.

        `expected_kind` is what the user says it is; None or "unsure" leaves it to the gate. `progress` is
        called with the stage that begins (gate, reading) and between batches; what it raises ends the
        reading. `maps` False leaves out the heatmaps. Raises `ModelBroken` when a bundle that is needed
        cannot be used.
        """
        clock = _Clock()
        tell = progress or _silent
        if age_group not in _AGES:
            age_group = "unknown"  # the most careful marks, however somebody spelt it
        expected = expected_kind if expected_kind in registry.READABLE_KINDS else None
        tell("gate")
        with clock.stage("gate"):
            kind, distance = self._gate(volume, expected)
        if isinstance(kind, Refusal):
            return _refused(kind, expected, clock, distance)
        reader = self.reader(kind)
        if reader is None:
            return _refused(gate_rules.no_model(kind), kind, clock, distance)
        if volume.is_volume and kind in gate_rules.XRAY_KINDS:
            return _refused(gate_rules.several_frames(kind), kind, clock, distance)
        tell("reading")
        reading = _Run(reader, volume, clock, tell, maps, age_group, self._familiar).reading()
        return dataclasses.replace(reading, gate_distance=distance)

    def _gate(self, volume: CanonicalVolume, expected: str | None) -> tuple[str | Refusal, float | None]:
        """The kind or why it is not read, and the gate's distance where it was asked."""
        refusal = gate_rules.header_refusal(volume, expected)
        if refusal is not None:
            return refusal, None
        plane = slices.choose_plane(volume, ())
        chosen = slices.choose_slices(volume, plane, limit=GATE_SLICES) if volume.is_volume else [0]
        images = [volume.slice_image(index, plane) for index in chosen]
        refusal = gate_rules.size_refusal(images[0].shape) or _all_refused(images)
        if refusal is not None:
            return refusal, None
        if expected is not None and expected not in self._paths:
            return gate_rules.no_model(expected), None
        reader = self.reader(registry.GATE_KIND)
        if reader is None:
            return gate_rules.no_model(expected or ""), None
        aspect = volume.pixel_aspect(plane)
        squared = [square_pixels(image, aspect) for image in images]
        outputs = reader.run(reader.prepare(squared, reader.window(squared)))
        opinion = gate.vote(reader.bundle, outputs)
        decided = gate.decide(
            opinion,
            expected,
            header_supports=gate_rules.header_kind(volume),
            is_colour=volume.is_colour,
        )
        if isinstance(decided, str) and gate_rules.is_contradicted(volume, decided):
            decided = gate_rules.not_recognised(expected)
        return decided, round(opinion.distance, 4)

    def _familiar(self, images: list[np.ndarray], kind: str) -> np.ndarray:
        """Which slices (N,) of an accepted volume look like what the model of this kind learnt from."""
        reader = self.reader(registry.GATE_KIND)
        if reader is None:
            return np.ones(len(images), dtype=bool)
        outputs = reader.run(reader.prepare(images, reader.window(images)))
        return gate.familiar(reader.bundle, outputs, kind)


class _Run:
    """One pass of one reader over one scan."""

    def __init__(
        self,
        reader: Reader,
        volume: CanonicalVolume,
        clock: _Clock,
        tell: Progress,
        maps: bool,
        age_group: str,
        familiar: Familiar,
    ) -> None:
        self.age_group = age_group
        # Films only: a volume's probability is calibrated by its pooling.
        self.age = "unknown" if volume.is_volume else age_group
        self.reader, self.volume, self.clock, self.tell, self.maps = reader, volume, clock, tell, maps
        self.plane = slices.choose_plane(volume, reader.planes)
        pooling = reader.metadata.get("pooling") or {}
        self.pooling: dict[str, Any] = pooling if isinstance(pooling, dict) else {}
        self.indices = [0]
        self.aspect = volume.pixel_aspect(self.plane)
        if volume.is_volume:
            limit = int(self.pooling.get("max_slices", slices.MAX_SLICES))
            chosen = slices.choose_slices(volume, self.plane, limit=limit)
            with clock.stage("gate"):
                kept = familiar([self._image(index) for index in chosen], reader.kind)
            # A network answers for a neck or a chin, too, and one such slice would colour the whole reading.
            self.indices = [index for index, near in zip(chosen, kept, strict=True) if near]
        # What `square_pixels` really did, for the way back of the heatmaps.
        self.squeeze = self.aspect if abs(self.aspect - 1) > _SQUARE else 1.0
        self.seen: Window | None = None

    def reading(self) -> Reading:
        """Forward pass over all slices, pooled to one reading."""
        logits, features, embeddings = self._forward()
        bundle = self.reader.bundle
        labels = self._labels()
        with self.clock.stage("calibrate"):
            each = np.asarray(bundle.predict_probabilities(logits, self.age), dtype=np.float64)
            pooled, weights = slices.pool(each, self.reader.normal, self.pooling)
            probabilities = {
                name: float(value) for name, value in zip(self.reader.names, pooled, strict=True)
            }
            called = call_labels(
                labels,
                probabilities,
                exclusive=self.reader.exclusive,
                ordinal=self.reader.ordinal,
                age_group=self.age_group,
            )
        key = self._key_position(called, each, weights)
        findings = []
        with self.clock.stage("cam"):
            for label in called:
                findings.append(self._finding(label, each, features))
        return Reading(
            status="succeeded",
            kind=self.reader.kind,
            model=bundle.name,
            version=bundle.version,
            model_sha256=bundle.sha256,
            findings=tuple(findings),
            probabilities={name: round(value, 6) for name, value in probabilities.items()},
            key_slice=self.indices[key] if self.volume.is_volume else None,
            key_plane=self.plane if self.volume.is_volume else "",
            slices_read=len(self.indices),
            embedding=(weights @ embeddings).astype(np.float32),
            marks={
                label.name: (
                    label.high_sensitivity,
                    label.high_specificity if np.isfinite(label.high_specificity) else None,
                )
                for label in labels
            },
            timings_ms=self.clock.milliseconds(),
        )

    def _labels(self) -> list[LabelSpec]:
        """The bundle's labels, with the marks that hold for this scan."""
        points = operating_points(
            self.reader.metadata,
            age_group=self.age_group,
            is_volume=self.volume.is_volume,
            slices_read=len(self.indices),
        )
        labels = []
        for label in self.reader.bundle.labels:
            possible, likely = (points[label.name][key] for key in ("high_sensitivity", "high_specificity"))
            never = float("inf")
            labels.append(
                dataclasses.replace(
                    label,
                    high_sensitivity=possible,
                    high_specificity=never if likely is None else likely,
                )
            )
        return labels

    def _forward(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with self.clock.stage("preprocess"):
            images = [self._image(index) for index in self.indices]
            # One for all slices: what is small at the crown of a head must stay small.
            self.seen = self.reader.window(images)
        outputs = []
        for start in range(0, len(images), BATCH):
            if start:
                self.tell("reading")
            with self.clock.stage("preprocess"):
                batch = self.reader.prepare(images[start : start + BATCH], self.seen)
            with self.clock.stage("forward"):
                outputs.append(self.reader.run(batch))
        return (
            np.concatenate([np.asarray(output.logits) for output in outputs]),
            np.concatenate([np.asarray(output.features) for output in outputs]),
            np.concatenate([np.asarray(output.embedding) for output in outputs]),
        )

    def _image(self, index: int) -> np.ndarray:
        """A slice (rows, columns) with square pixels."""
        return square_pixels(self.volume.slice_image(index, self.plane), self.aspect)

    def _key_position(self, called: list[CalledLabel], each: np.ndarray, weights: np.ndarray) -> int:
        """Position of the slice that tells most about the first suspected disease, of those that the reading
        rests on (`weights` above 0), also where "nothing found" is more probable; the middle one where
        nothing is suspected.
        """
        suspected = [label.name for label in called if label.call != "unlikely" and not label.is_normal]
        if not suspected:
            return len(self.indices) // 2
        column = each[:, self.reader.names.index(suspected[0])]
        return int(np.where(weights > 0, column, -1.0).argmax())

    def _finding(self, label: CalledLabel, each: np.ndarray, features: np.ndarray) -> LabelFinding:
        heatmap = None
        if self.maps and label.call != "unlikely" and not label.is_normal:
            column = self.reader.names.index(label.name)
            maps = heat.class_maps(
                features, self.reader.bundle.weights_matrix, column, exclusive=self.reader.exclusive
            )
            # Each slice's map carries the slice's own probability, so that a doubtful slice stays faint.
            weighted = maps * each[:, column].astype(np.float32)[:, None, None]
            heatmap = heat.into_volume(
                self.volume, weighted, self.indices, self.plane, self.squeeze, self.seen
            )
        return LabelFinding(label.name, label.condition, round(label.probability, 6), label.call, heatmap)


def square_pixels(image: np.ndarray, aspect: float) -> np.ndarray:
    """An image (rows, columns) with rows stretched by `aspect` (row spacing / column spacing) where that
    matters.
    """
    if abs(aspect - 1) <= _SQUARE:
        return image
    rows, columns = image.shape
    picture = Image.fromarray(np.asarray(image, dtype=np.float32))
    return np.asarray(picture.resize((columns, max(1, round(rows * aspect))), Image.Resampling.BILINEAR))


def _all_refused(images: list[np.ndarray]) -> Refusal | None:
    """A volume is refused for its content only if every slice that was looked at is."""
    refusals = [gate_rules.content_refusal(image) for image in images]
    return refusals[0] if all(refusals) else None


def _refused(refusal: Refusal, kind: str | None, clock: _Clock, distance: float | None) -> Reading:
    return Reading(
        status="rejected",
        kind=refusal.looks_like or kind or "",
        reason_code=refusal.code,
        reason=refusal.reason,
        timings_ms=clock.milliseconds(),
        gate_distance=distance,
    )


def _silent(stage: str) -> None:
    """Nobody wants to know."""
