"""Drawn stand-ins for scans: enough for a tiny network to tell kinds and labels apart, and free of anybody's
data.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 96


def picture(kind: str, label: str, seed: int, side: int = SIDE) -> np.ndarray:
    """One image (side, side) float32, 0..255."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side - 0.5
    drift = rng.uniform(-0.03, 0.03, 2)
    rows, columns = rows + drift[0], columns + drift[1]
    image = {"brain_mri": _brain, "chest_xray": _chest, "knee_xray": _knee, "other": _other}[kind](
        rows, columns, label, rng
    )
    image = gaussian_filter(image, 1.0) + rng.normal(0, 3, image.shape)
    return np.clip(image * rng.uniform(0.9, 1.1), 0, 255).astype(np.float32)


def tumour_centre(label: str) -> tuple[float, float]:
    """Where (row, column; shares of the side) a brain tumour of that label is drawn."""
    return {"glioma": (0.35, 0.3), "meningioma": (0.3, 0.72), "pituitary": (0.7, 0.5)}[label]


def _brain(rows, columns, label, rng):
    head = (rows / 0.42) ** 2 + (columns / 0.34) ** 2
    image = np.where(head < 1, 110.0, 5.0) + np.where(abs(head - 1) < 0.12, 90.0, 0.0)
    image += np.where((rows / 0.12) ** 2 + (columns / 0.08) ** 2 < 1, -60.0, 0.0)
    if label != "none":
        row, column = tumour_centre(label)
        radius = {"glioma": 0.11, "meningioma": 0.08, "pituitary": 0.06}[label]
        away = (rows + 0.5 - row) ** 2 + (columns + 0.5 - column) ** 2
        image[away < radius**2] = 250.0
    return image


def _chest(rows, columns, label, rng):
    image = np.full(rows.shape, 170.0)
    for centre in (-0.2, 0.2):
        image[((rows / 0.36) ** 2 + ((columns - centre) / 0.15) ** 2) < 1] = 50.0
    if "pneumonia" in label:
        side = rng.choice([-0.2, 0.2])
        size = 0.16 if "bacterial" in label else 0.09
        image[((rows - 0.15) ** 2 + (columns - side) ** 2) < size**2] = 175.0
    return image


def _knee(rows, columns, label, rng):
    image = np.full(rows.shape, 30.0)
    gap = 0.22 - 0.05 * int(label)
    bone = (abs(columns) < 0.16 + 0.15 * np.clip(0.25 - abs(rows), 0, 1)) & (abs(rows) > gap / 2)
    image[abs(columns) < 0.32] = 70.0
    image[bone] = 160.0 + 20 * int(label)
    return image


def _other(rows, columns, label, rng):
    image = np.full(rows.shape, rng.uniform(60, 240))
    for _ in range(8):
        row, column, size = rng.uniform(-0.5, 0.5, 2).tolist() + [rng.uniform(0.03, 0.2)]
        image[(abs(rows - row) < size) & (abs(columns - column) < size / 2)] = rng.uniform(0, 255)
    return image
