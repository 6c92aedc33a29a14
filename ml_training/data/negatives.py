"""Images that no model may answer for: drawn ones (noise, blanks, gradients, pages of text, drawings and
mosaics, phantoms), and scans that are turned or inverted, which are read badly."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 224
KINDS = ("noise", "blank", "gradient", "page", "drawing", "mosaic", "phantom")
CHANGES = ("upside_down", "on_the_left", "on_the_right", "inverted")


def changed(image: np.ndarray, change: str) -> np.ndarray:
    """An image (H, W) turned by half a turn or a quarter, or with its grey values inverted (`CHANGES`).

    Raises:
        ValueError: another change.
    """
    if change == "inverted":
        return image.max() + image.min() - image
    turns = {"upside_down": 2, "on_the_left": 1, "on_the_right": 3}
    if change not in turns:
        raise ValueError(f"no such change: {change}")
    return np.rot90(image, turns[change])


def synthetic_negative(seed: int) -> np.ndarray:
    """One image (224, 224) uint8 of the kind `KINDS[seed % 7]`."""
    rng = np.random.default_rng(seed)
    makers = (_noise, _blank, _gradient, _page, _drawing, _mosaic, _phantom)
    return makers[seed % len(KINDS)](rng)


def _noise(rng: np.random.Generator) -> np.ndarray:
    grain = int(rng.integers(1, 32))
    small = rng.integers(0, 256, (SIDE // grain + 1, SIDE // grain + 1), dtype=np.uint8)
    order = Image.Resampling.BICUBIC if rng.random() < 0.5 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(small).resize((SIDE, SIDE), order))


def _blank(rng: np.random.Generator) -> np.ndarray:
    return np.clip(rng.normal(rng.integers(0, 256), rng.random() * 6, (SIDE, SIDE)), 0, 255).astype(np.uint8)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    wave = np.sin(2 * np.pi * (x * rng.normal(0, 2) + y * rng.normal(0, 2)) + rng.random() * 6)
    bowl = (x - rng.random()) ** 2 + (y - rng.random()) ** 2
    mix = rng.random()
    image = mix * wave + (1 - mix) * bowl * 3
    return np.asarray(255 * (image - image.min()) / (np.ptp(image) + 1e-6)).astype(np.uint8)


def _page(rng: np.random.Generator) -> np.ndarray:
    dark = rng.random() < 0.3
    page = Image.new("L", (SIDE, SIDE), 20 if dark else 240)
    pen = ImageDraw.Draw(page)
    letters = list("abcdefghijklmnopqrstuvwxyz    0123456789")
    step = int(rng.integers(9, 22))
    for y in range(int(rng.integers(4, 20)), SIDE, step):
        text = "".join(rng.choice(letters, int(rng.integers(5, 45))))
        pen.text((int(rng.integers(2, 24)), y), text, fill=230 if dark else 10, font_size=max(8, step - 4))
    return np.asarray(page.rotate(float(rng.normal(0, 4)), fillcolor=20 if dark else 240))


def _drawing(rng: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (SIDE, SIDE), int(rng.integers(0, 256)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 30))):
        box = sorted(rng.integers(0, SIDE, 2).tolist()) + sorted(rng.integers(0, SIDE, 2).tolist())
        corners = [box[0], box[2], box[1] + 1, box[3] + 1]
        fill = int(rng.integers(0, 256))
        shape = rng.integers(0, 3)
        if shape == 0:
            pen.ellipse(corners, fill=fill)
        elif shape == 1:
            pen.rectangle(corners, fill=fill)
        else:
            pen.line(corners, fill=fill, width=int(rng.integers(1, 12)))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.random() * 5)))
    return np.asarray(image)


def _mosaic(rng: np.random.Generator) -> np.ndarray:
    tiles = int(rng.integers(3, 9))
    flat = rng.integers(0, 256, (tiles, tiles), dtype=np.uint8)
    base = np.asarray(Image.fromarray(flat).resize((SIDE, SIDE), Image.Resampling.NEAREST)).astype(float)
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


def _phantom(rng: np.random.Generator) -> np.ndarray:
    """A vessel with a few inserts on black, as scanners are tested with; its header may well say "brain"."""
    side = SIDE * 2
    image = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(image)
    radius = side * rng.uniform(0.12, 0.46)
    flat = rng.uniform(0.85, 1.0)
    middle = side / 2 + rng.normal(0, side * 0.02, 2)
    half = (radius, radius * flat)
    grey = int(rng.integers(90, 256))
    vessel = tuple(float(v) for v in (*(middle - half), *(middle + half)))
    if rng.random() < 0.8:
        pen.ellipse(vessel, fill=grey)
    else:
        pen.rounded_rectangle(vessel, radius / 4, fill=grey)
    inside = int(rng.integers(0, 60)) if rng.random() < 0.7 else int(rng.integers(0, 256))
    shape = rng.integers(0, 3)
    if shape == 0:
        rows = int(rng.integers(2, 6))
        for place in np.stack(np.meshgrid(*[np.linspace(-0.55, 0.55, rows)] * 2), -1).reshape(-1, 2):
            at, size = middle + place * half, radius * rng.uniform(0.04, 0.1)
            pen.ellipse(tuple(float(v) for v in (*(at - size), *(at + size))), fill=inside)
    else:
        for _ in range(int(rng.integers(1, 4))):
            at = middle + rng.uniform(-0.35, 0.35, 2) * radius * (shape == 2)
            long, short = radius * rng.uniform(0.1, 0.5), radius * rng.uniform(0.05, 0.3)
            turn = rng.uniform(0, np.pi)
            way = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
            corners = [
                at + a * long * way[0] + b * short * way[1] for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))
            ]
            pen.polygon([tuple(map(float, corner)) for corner in corners], fill=inside)
            if rng.random() < 0.4:
                pen.ellipse(tuple(float(v) for v in (*(at - short / 2), *(at + short / 2))), fill=grey)
    image = image.rotate(float(rng.uniform(0, 360)))
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    shade = 1 + rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y
    noisy = small * shade + rng.normal(0, rng.uniform(0, 8), small.shape)
    blurred = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    return np.asarray(blurred.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2)))))
