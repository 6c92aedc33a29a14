"""A trained DenseNet inside one of twice the width, which then answers the same and has room to learn more.

After Net2Net (Chen, Goodfellow and Shlens 2016, arXiv:1511.05641), with new channels that begin at random
instead of as copies. With `init_features` and `growth_rate` twice as large every layer has twice the
channels: the old ones keep their weights and get nothing from the new ones; how much the new ones are
listened to is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

_STEM = "densenet.features.conv0.weight"


def widened(narrow: Mapping[str, Tensor], wide: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `narrow`, a `ReadingNetwork` of half the width, placed among those of `wide`, an
    untrained one; both as `state_dict` gives them. Anything but such a pair comes back as `narrow` itself.
    """
    if not _is_double(narrow, wide):
        return dict(narrow)
    grown: dict[str, Tensor] = {}
    # A dense block's input is what all layers before gave, one behind the other: the narrow widths of these
    # parts. `state_dict` has the layers in the order of the forward pass.
    parts: list[int] = []
    for name, own in wide.items():
        old = narrow.get(name)
        if old is None or (".class_layers." in name and len(old) != len(own)):
            # Other labels: what is learnt of them begins anew.
            grown[name] = own
            continue
        takes_all = any(
            mark in name for mark in (".layers.norm1.", ".layers.conv1.", ".transition", ".norm5.")
        )
        if takes_all or ".class_layers." in name:
            places = _places(parts)
        else:
            places = list(range(old.shape[1] if old.ndim > 1 else old.numel()))
        grown[name] = _placed(old, own, places)
        if name == _STEM or (".transition" in name and name.endswith("conv.weight")):
            parts = [len(old)]
        elif name.endswith(".layers.conv2.weight"):
            parts.append(len(old))
    return grown


def _is_double(narrow: Mapping[str, Tensor], wide: Mapping[str, Tensor]) -> bool:
    body = [name for name in wide if name.startswith("densenet.features.")]
    return (
        _STEM in narrow
        and all(name in narrow and narrow[name].ndim == wide[name].ndim for name in body)
        and all(len(wide[name]) == 2 * len(narrow[name]) for name in body if wide[name].ndim)
    )


def _places(parts: Sequence[int]) -> list[int]:
    """Where the narrow network's channels lie in the wide one: in the first half of every part."""
    places: list[int] = []
    start = 0
    for width in parts:
        places += range(start, start + width)
        start += 2 * width
    return places


def _placed(old: Tensor, own: Tensor, places: Sequence[int]) -> Tensor:
    """`old` in its `places` of `own`: of a norm (C,), or of the inputs of a layer (O, C, ...)."""
    if old.shape == own.shape:
        return old.clone()
    result = own.clone()
    if old.ndim == 1:
        result[list(places)] = old
        return result
    # The outputs that there were before: all of the classifier's, the first half of a layer's.
    before = result[: len(old)]
    before.zero_()
    before[:, list(places)] = old
    return result
