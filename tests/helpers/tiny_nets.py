"""Small nets with random weights: nothing in them is zero, uniform or of no effect as it is where training begins."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.classifier import ClassifierConfig, ClassifierNet
from attnimg.nets.enhancer.net import EnhancerConfig, EnhancerNet
from attnimg.nets.segmenter import SegmenterConfig, SegmenterNet
from attnimg.predictors import classify, enhance

CLASSIFIER = ClassifierConfig(
    classes=3, width=16, backbone=BackboneConfig(widths=(8, 16), depths=(1, 1), channel_attention="se")
)
CLASSIFIER_HEADER: dict[str, Any] = {
    "classes": [{"id": str(i), "label": f"class {i}"} for i in range(3)],
    "preprocessing": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "size": 32, "fit": "square"},
    "temperature": 0.5,
    "attention": "attention",
}
ENHANCER = EnhancerConfig(thumbnail=32, exposure_widths=(8, 8, 8), widths=(8, 8, 8), depths=(1, 1, 1), heads=2)
WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])  # the box of a crop that is all of its photo
ENHANCER_HEADER: dict[str, Any] = {"preprocessing": {"size": 32, "fit": "squeeze"}, "attention": "exposure.attention"}
SEGMENTER = SegmenterConfig(
    classes=3,
    backbone=BackboneConfig(widths=(8, 8, 16), depths=(1, 1, 1), channel_attention="none", heads=2),
)
SEGMENTER_HEADER: dict[str, Any] = {
    "classes": [{"id": i, "label": f"class {i}", "color": [i, i, i]} for i in range(3)],
    "preprocessing": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "size": 64, "fit": "shortest"},
    "attention": "attention",
}


def stir(net: nn.Module, score: str) -> None:
    """Make what starts at zero random, the map of attention far from uniform, and let statistics fit the next batch.

    score: the parameter that the map of attention is made with.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = 1.0
    for name, parameter in net.named_parameters():
        if name == score or not parameter.any():
            nn.init.normal_(parameter, std=2.0 if name == score else 0.1)


def make_enhancer(config: EnhancerConfig = ENHANCER, seed: int = 0) -> EnhancerNet:
    torch.manual_seed(seed)
    net = EnhancerNet(config)
    stir(net, "exposure.attention.score.weight")
    with torch.no_grad():
        net.exposure(noise(16, config.thumbnail, config.thumbnail, 6, seed))
    return net.eval()


def make_segmenter(config: SegmenterConfig = SEGMENTER, seed: int = 0) -> SegmenterNet:
    torch.manual_seed(seed)
    net = SegmenterNet(config)
    stir(net, "attention.score.weight")
    with torch.no_grad():
        net(patches(8, 64, 64, seed))
    return net.eval()


def noise(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    """N x channels x H x W in [0, 1], dark."""
    generator = torch.Generator().manual_seed(seed)
    return 0.4 * torch.rand(count, channels, height, width, generator=generator)


def patches(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """N x 3 x H x W, normalized: patches of 16 pixels, each of one color, and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, -(-height // 16), -(-width // 16), generator=generator)
    fine = coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)[..., :height, :width]
    return fine + 0.2 * torch.randn(fine.shape, generator=generator)


def random_classifier(views: int = 1) -> classify.Classifier:
    """The predictor of a net whose weights, statistics and attention are all random."""
    torch.manual_seed(0)
    net = ClassifierNet(CLASSIFIER)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) * 0.3)
    return classify.Classifier(net, CLASSIFIER_HEADER, model="random", device="cpu", views=views)


def random_enhancing_net(*, restores: bool = True) -> EnhancerNet:
    """restores=False: one that brightens and adds nothing but smoothness."""
    net = make_enhancer()
    nn.init.normal_(net.restore.head.weight, std=0.03 if restores else 0)
    if not restores:
        nn.init.zeros_(net.restore.head.bias)
    return net


def random_enhancer(*, restores: bool = True, **options: Any) -> enhance.Enhancer:
    """The predictor of such a net."""
    net = random_enhancing_net(restores=restores)
    return enhance.Enhancer(net, ENHANCER_HEADER, model="random", device="cpu", **options)


shared_enhancer = cache(random_enhancer)
"""As above, but built once: for tests that leave it as it is."""
