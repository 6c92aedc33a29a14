"""MONAI's DenseNet with its last feature map and embedding laid open, so that one pass yields all that
serving needs."""

from __future__ import annotations

import torch
from monai.networks.nets import DenseNet
from torch import Tensor, nn

from ml_training.specs import NetworkSpec


def build_densenet(spec: NetworkSpec, labels: int) -> DenseNet:
    """A 2D, one-channel DenseNet (Huang et al.

    2017, arXiv:1608.06993) with `labels` outputs.
    """
    return DenseNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=labels,
        init_features=spec.init_features,
        growth_rate=spec.growth_rate,
        block_config=spec.block_config,
        dropout_prob=spec.dropout_prob,
    )


class ReadingNetwork(nn.Module):
    """Wraps a DenseNet.

    Input (N, 1, S, S) in 0..1. Output: logits (N, K), features (N, C, S/32, S/32) after the last ReLU, and
    embedding (N, C), the spatial mean of the features. Because the classifier is linear on that mean, a
    class activation map (Zhou et al. 2016, arXiv:1512.04150) is weights x features, without a backward
    pass.
    """

    def __init__(self, densenet: DenseNet) -> None:
        super().__init__()
        self.densenet = densenet

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = torch.relu(self.densenet.features(image))
        embedding = features.mean(dim=(2, 3))
        logits: Tensor = self.densenet.class_layers.get_submodule("out")(embedding)
        return logits, features, embedding
