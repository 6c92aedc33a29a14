"""How far does a small model get without the anatomy: by brightness, the frame, or 8 x 8 pixels alone?"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

FEW = 20  # rows that a label needs on both sides to be judged


@dataclass
class Probe:
    """What one kind of feature says. `auc` is per label, `by_source` per (source, label) inside it."""

    name: str
    classes: int
    rows: int
    balanced_accuracy: float
    auc: dict[str, float] = field(default_factory=dict)
    by_source: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def chance(self) -> float:
        return 1 / self.classes

    @property
    def alarming(self) -> bool:
        """The features reach more than half of the way from chance to perfect, or an AUC of 0.85."""
        half_way = (self.balanced_accuracy - self.chance) / (1 - self.chance) > 0.5
        return half_way or any(value >= 0.85 for value in self.auc.values())


def probe(
    name: str,
    features: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str],
    sources: Sequence[str],
    seed: int,
) -> Probe | None:
    """Cross-validated (5 folds, whole groups) small forest on features (N, D).

    `labels` may join several by `|`; a single label's score is the sum over the sets that hold it. Rare sets
    (in fewer than ten groups) are left out. None where fewer than two are left.
    """
    groups_of: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        groups_of.setdefault(label, set()).add(group)
    used = np.array([i for i, label in enumerate(labels) if label and len(groups_of[label]) >= 10], dtype=int)
    names = sorted({labels[i] for i in used})
    if len(names) < 2:
        return None
    x, y = features[used], np.array([names.index(labels[i]) for i in used])
    scores = np.zeros((len(used), len(names)))
    folds = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for train, held in folds.split(x, y, [groups[i] for i in used]):
            forest = ExtraTreesClassifier(
                80, min_samples_leaf=3, class_weight="balanced", n_jobs=2, random_state=seed
            ).fit(x[train], y[train])
            scores[np.ix_(held, forest.classes_)] = forest.predict_proba(x[held])
    result = Probe(name, len(names), len(used), float(balanced_accuracy_score(y, scores.argmax(1))))
    where = np.array([sources[i] for i in used])
    for single in sorted({part for joined in names for part in joined.split("|")}):
        holding = [i for i, joined in enumerate(names) if single in joined.split("|")]
        truth, score = np.isin(y, holding), scores[:, holding].sum(1)
        if _judgeable(truth):
            result.auc[single] = float(roc_auc_score(truth, score))
        for source in sorted(set(where)) if len(set(where)) > 1 else []:
            inside = where == source
            if _judgeable(truth[inside]):
                result.by_source[source, single] = float(roc_auc_score(truth[inside], score[inside]))
    return result


def _judgeable(truth: np.ndarray) -> bool:
    return min(int(truth.sum()), int((~truth).sum())) >= FEW


def source_warning(labels: Sequence[str], sources: Sequence[str]) -> list[str]:
    """One plain sentence per label that comes from one source only while others do not."""
    if len(set(sources)) < 2:
        return []
    pairs = Counter(
        (part, source) for joined, source in zip(labels, sources, strict=True) for part in joined.split("|")
    )
    found = []
    for label in sorted({part for part, _source in pairs}):
        homes = {source: count for (part, source), count in pairs.items() if part == label}
        if len(homes) == 1:
            found.append(
                f"Every {label!r} comes from {next(iter(homes))!r}: "
                "a model can learn to recognise the source instead."
            )
    return found
