"""Whole, real bundles that are made in seconds: random features with a fitted last layer, written by the real
writer.
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from ml_training import calibrate, ood
from ml_training.bundle import Bundle, write_bundle
from ml_training.labels import task_of
from ml_training.networks import ReadingNetwork, build_densenet
from ml_training.specs import NetworkSpec, PreprocessingSpec, to_plain
from ml_training.transforms import serving_transform
from tests.inference.pictures import picture

PREPROCESSING = PreprocessingSpec(size=64)
NETWORK = NetworkSpec(init_features=16, growth_rate=8, block_config=(2, 2, 2, 2))
_SETS = {
    "brain_mri": [("brain_mri", name) for name in ("glioma", "meningioma", "pituitary", "none")],
    "knee_xray": [("knee_xray", str(grade)) for grade in range(5)],
    "chest_xray": [("chest_xray", name) for name in ("no_finding", "pneumonia|bacterial", "pneumonia|viral")],
    "gate": [
        ("brain_mri", "none"),
        ("brain_mri", "glioma"),
        ("chest_xray", "no_finding"),
        ("chest_xray", "pneumonia|bacterial"),
        ("knee_xray", "0"),
        ("knee_xray", "3"),
        ("other", "x"),
        ("other", "y"),
    ],
}


def make_bundle(kind: str, folder: Path, *, version: str = "0.1.0", each: int = 24, seed: int = 7) -> Bundle:
    """Writes a bundle of the kind to `folder` and returns it."""
    import torch

    task = task_of(kind)
    torch.manual_seed(seed)
    densenet = build_densenet(NETWORK, len(task.labels))
    network = ReadingNetwork(densenet)
    images, targets = _examples(kind, each, seed)
    batch = torch.from_numpy(images)
    network.train()
    with torch.no_grad():
        for _ in range(30):  # lets the batch norms settle on these pictures
            network(batch)
    network.eval()
    network.half().float()  # the embeddings of the weights that are written
    with torch.no_grad():
        embedding = network(batch)[2].numpy()
    _fit_last_layer(densenet, embedding, targets, exclusive=task.activation == "softmax")
    network.half().float()
    with torch.no_grad():
        logits, _, embedding = (part.numpy() for part in network(batch))
    calibration = calibrate.fit(task, logits, targets)
    points = calibrate.operating_points(task, calibration(logits), targets)
    statistics = _statistics(kind, task.names, embedding, targets)
    metadata = {
        "name": f"PMI {kind}",
        "kind": kind,
        "version": version,
        "intended_use": "Tests.",
        "limits": ["Drawn pictures only."],
        "training_data": [],
        "labels": [
            {
                "name": label.name,
                "condition": label.condition,
                **points[label.name],
                "claimed": label.claimed,
                "limits": label.limits,
            }
            for label in task.labels
        ],
        "planes": list(task.planes),
        "activation": task.activation,
        "preprocessing": to_plain(PREPROCESSING),
        "network": to_plain(NETWORK),
        "calibration": calibration.to_plain(),
        "pooling": {"method": "top_mean", "fraction": 0.25} if kind == "brain_mri" else {},
        "gate": {"min_probability": 0.6} if kind == "gate" else None,
        "ood": statistics.to_plain(),
        "eval_metrics": {"all": {"images": 0}},
    }
    return write_bundle(folder, metadata, network, "# Test bundle\n", {"run": []})


def _examples(kind: str, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    task, transform = task_of(kind), serving_transform(PREPROCESSING)
    images, targets = [], []
    for order, (drawn, label) in enumerate(_SETS[kind]):
        row = {"label": drawn if kind == "gate" else label, "labels": label}
        for number in range(each):
            images.append(transform(picture(drawn, label, seed + 1000 * order + number)))
            targets.append(task.target(row))
    return np.stack(images), np.asarray(targets)


def _fit_last_layer(densenet, embedding, targets, *, exclusive):
    import torch

    centre, scale = embedding.mean(0), embedding.std(0) + 1e-3
    scaled = (embedding - centre) / scale
    weights = np.zeros((targets.shape[1], embedding.shape[1]))
    bias = np.zeros(targets.shape[1])
    if exclusive:
        model = LogisticRegression(C=1.0, max_iter=2000).fit(scaled, targets.argmax(1))
        weights, bias = model.coef_, model.intercept_
    else:
        for column in range(targets.shape[1]):
            known = ~np.isnan(targets[:, column])
            truth = targets[known, column]
            if len(set(truth)) < 2:
                bias[column] = -3.0
                continue
            model = LogisticRegression(C=1.0, max_iter=2000).fit(scaled[known], truth)
            weights[column], bias[column] = model.coef_[0], model.intercept_[0]
    weights = weights / scale
    bias = bias - weights @ centre
    with torch.no_grad():
        densenet.class_layers.out.weight.copy_(torch.from_numpy(weights))
        densenet.class_layers.out.bias.copy_(torch.from_numpy(bias))


def _statistics(kind, names, embedding, targets):
    classes = np.nan_to_num(targets).argmax(1)
    if kind == "gate":
        names = [name for name in names if name != "other"]
        inside = classes < len(names)
        embedding, classes = embedding[inside], classes[inside]
    present = sorted(set(classes.tolist()))
    fitted = ood.fit(
        embedding, np.searchsorted(present, classes), embedding, tuple(names[k] for k in present), 1.0, dims=8
    )
    # Fitted and bounded on the same few pictures: leave new ones some room.
    return ood.OutOfDistribution(
        fitted.offset, fitted.projection, fitted.means, fitted.precision, fitted.threshold * 1.5, fitted.names
    )
