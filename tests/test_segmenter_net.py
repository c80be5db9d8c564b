"""The segmenter's net: sizes, budget, what its attentions weight, and that each can be left out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attnimg.attention import Recorder, mechanisms
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.build import build_net, describe, read_architecture
from attnimg.nets.segmenter import Segmenter, SegmenterConfig
from attnimg.tasks.device import prepare_net
from attnimg.training.recipe import RECIPES, SegmentRecipe, load_recipe

SMALL = SegmenterConfig(
    classes=3,
    backbone=BackboneConfig(widths=(8, 8, 16), depths=(1, 1, 1), channel_attention="none", heads=2),
)
PLAIN = dataclasses.replace(
    SMALL, focus="none", gate="none", backbone=dataclasses.replace(SMALL.backbone, spatial_attention="none")
)
GATES = ["decoder.0.gate", "decoder.1.gate"]


def build(config: SegmenterConfig = SMALL, seed: int = 0) -> Segmenter:
    """A net in which nothing is zero that starts at zero, whose statistics fit and whose map is far from uniform."""
    torch.manual_seed(seed)
    net = Segmenter(config)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.momentum = 1.0
    for name, parameter in net.named_parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
        elif name == "attention.score.weight":
            nn.init.normal_(parameter, std=2.0)
    with torch.no_grad():
        net(photos(8, 64, 64, seed))
    return net.eval()


def photos(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """N x 3 x H x W, normalised: patches of 16 pixels, each of one colour, and noise."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(count, 3, -(-height // 16), -(-width // 16), generator=generator)
    fine = patches.repeat_interleave(16, 2).repeat_interleave(16, 3)[..., :height, :width]
    return fine + 0.2 * torch.randn(fine.shape, generator=generator)


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (64, 48), (33, 31)])
def test_any_size_has_logits_at_half_of_it(size: tuple[int, int]) -> None:
    for config in (SMALL, PLAIN):
        with torch.no_grad():
            logits = build(config)(photos(2, *size))
        assert logits.shape == (2, 3, *(-(-side // 2) for side in size))
        assert logits.isfinite().all()


def test_the_default_net_keeps_to_its_budget() -> None:
    net = Segmenter(SegmenterConfig()).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 360, 480))
    assert sum(p.numel() for p in net.parameters()) <= 3e6
    assert counter.get_total_flops() / 2 <= 11e9


@pytest.mark.parametrize("name", sorted(p.stem for p in (RECIPES / "segment").glob("*.toml")))
def test_the_shipped_recipes_train_nets_of_the_default_s_size(name: str) -> None:
    net = load_recipe(name, SegmentRecipe).net
    like = dataclasses.replace(net, dropout=0.1, backbone=dataclasses.replace(net.backbone, drop_path=0.0))
    assert like == SegmenterConfig()


def test_headers_rebuild_the_net() -> None:
    net = build()
    again = build_net(describe(SMALL))
    again.load_state_dict(net.state_dict())
    x = photos(1, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), net(x))
    assert read_architecture(describe(PLAIN)) == PLAIN


def test_each_attention_can_be_left_out_and_no_other_part_changes() -> None:
    assert mechanisms(build()) == ["backbone.attention", "attention", *GATES]
    assert mechanisms(build(PLAIN)) == []
    assert mechanisms(build(dataclasses.replace(SMALL, gate="se", focus="region"))) == mechanisms(build())
    rest = {n: p.shape for n, p in build().named_parameters() if "attention" not in n and "gate" not in n}
    assert rest == {n: p.shape for n, p in build(PLAIN).named_parameters()}


def test_a_recorder_sees_every_map_and_changes_nothing() -> None:
    net, x = build(), photos(2, 64, 48)
    with torch.no_grad():
        plain = net(x)
        with Recorder(net) as recorder:
            assert torch.equal(net(x), plain)
    shapes = {name: tuple(m.shape) for name, m in recorder.maps.items()}
    assert shapes == {
        "backbone.attention": (2, 8, 6),
        "attention": (2, 8, 6),
        "decoder.0.gate": (2, 16, 12),
        "decoder.1.gate": (2, 32, 24),
    }
    assert all(0 <= m.min() < m.max() <= 1 for m in recorder.maps.values())


def test_the_gates_are_told_by_the_deeper_map() -> None:
    merge, fine = build().decoder[0], photos(1, 64, 64).repeat(1, 3, 1, 1)[:, :8]
    deep = photos(2, 16, 16).repeat(1, 6, 1, 1)[:, :16]
    with torch.no_grad(), Recorder(merge) as recorder:
        maps = [(merge(d[None], fine), recorder.maps["gate"])[1] for d in deep]
    assert maps[0].shape == (1, 64, 64)
    assert (maps[0] - maps[1]).abs().max() > 0.01


def test_what_is_decoded_is_weighted_as_the_map_says() -> None:
    net, x = build(), photos(3, 64, 64)
    with torch.no_grad(), Recorder(net, {"attention"}) as recorder:
        context = net.encode(x)[-1]
        gathered = net.backbone(x)[-1]
    maps = recorder.maps["attention"]
    assert maps.min() < 0.2 < 0.8 < maps.max()
    assert torch.allclose(context, gathered * maps[:, None], atol=1e-6)


def test_hiding_what_is_bright_in_the_map_changes_the_logits_more() -> None:
    net, x = build(), photos(8, 96, 96, seed=1)
    with torch.no_grad(), Recorder(net, {"attention"}) as recorder:
        before = net(x)
        *fine, gathered = net.backbone(x)
    maps = recorder.maps["attention"]
    order = maps.flatten(1).argsort(1)  # (8, 144)

    def change(cells: Tensor) -> float:
        hidden = torch.zeros(8, 144, dtype=torch.bool).scatter(1, cells, True).reshape(8, 1, 12, 12)
        seen = torch.where(hidden, gathered.mean((2, 3), keepdim=True), gathered)
        with torch.no_grad():
            return float((net.decode([*fine, seen * maps[:, None]]) - before).abs().mean())

    assert change(order[:, :0]) < 1e-6
    assert change(order[:, 108:]) > 3 * change(order[:, :36])


def test_half_precision_and_folded_norms_are_close_to_full() -> None:
    net, x = build(), photos(2, 64, 64)
    with torch.no_grad():
        full = net(x)
        folded = prepare_net(net, torch.device("cpu"))(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
    assert torch.allclose(folded, full, atol=1e-4)
    assert half.dtype == torch.float32
    assert (half - full).abs().mean() < 0.06 * full.abs().mean()


def test_the_gradient_reaches_every_parameter() -> None:
    net = build().train()
    net(photos(2, 64, 48)).square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert not silent
