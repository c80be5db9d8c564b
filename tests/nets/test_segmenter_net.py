"""The segmenter's net: sizes, budget, what its attentions weight, and that each can be left out."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from helpers.tiny_nets import SEGMENTER, make_segmenter, patches
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from attnimg.attention import Recorder, mechanisms
from attnimg.models.build import build_net, describe, read_architecture
from attnimg.models.device import prepare_net
from attnimg.nets.segmenter import SegmenterConfig, SegmenterNet
from attnimg.training.recipe import RECIPES, SegmentRecipe, load_recipe

PLAIN = dataclasses.replace(
    SEGMENTER, focus="none", gate="none", backbone=dataclasses.replace(SEGMENTER.backbone, spatial_attention="none")
)
GATES = ["decoder.0.gate", "decoder.1.gate"]


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (64, 48), (33, 31)])
def test_any_size_has_logits_at_half_of_it(size: tuple[int, int]) -> None:
    for config in (SEGMENTER, PLAIN):
        with torch.no_grad():
            logits = make_segmenter(config)(patches(2, *size))
        assert logits.shape == (2, 3, *(-(-side // 2) for side in size))
        assert logits.isfinite().all()


def test_the_default_net_keeps_to_its_budget() -> None:
    net = SegmenterNet(SegmenterConfig()).eval()
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
    net = make_segmenter()
    again = build_net(describe(SEGMENTER))
    again.load_state_dict(net.state_dict())
    x = patches(1, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.eval()(x), net(x))
    assert read_architecture(describe(PLAIN)) == PLAIN


def test_each_attention_can_be_left_out_and_no_other_part_changes() -> None:
    assert mechanisms(make_segmenter()) == ["backbone.attention", "attention", *GATES]
    assert mechanisms(make_segmenter(PLAIN)) == []
    other = dataclasses.replace(SEGMENTER, gate="se", focus="region")
    assert mechanisms(make_segmenter(other)) == mechanisms(make_segmenter())
    rest = {n: p.shape for n, p in make_segmenter().named_parameters() if "attention" not in n and "gate" not in n}
    assert rest == {n: p.shape for n, p in make_segmenter(PLAIN).named_parameters()}


def test_a_recorder_sees_every_map_and_changes_nothing() -> None:
    net, x = make_segmenter(), patches(2, 64, 48)
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
    merge, fine = make_segmenter().decoder[0], patches(1, 64, 64).repeat(1, 3, 1, 1)[:, :8]
    deep = patches(2, 16, 16).repeat(1, 6, 1, 1)[:, :16]
    with torch.no_grad(), Recorder(merge) as recorder:
        maps = [(merge(d[None], fine), recorder.maps["gate"])[1] for d in deep]
    assert maps[0].shape == (1, 64, 64)
    assert (maps[0] - maps[1]).abs().max() > 0.01


def test_what_is_decoded_is_weighted_as_the_map_says() -> None:
    net, x = make_segmenter(), patches(3, 64, 64)
    with torch.no_grad(), Recorder(net, {"attention"}) as recorder:
        context = net.encode(x)[-1]
        gathered = net.backbone(x)[-1]
    maps = recorder.maps["attention"]
    assert maps.min() < 0.2 < 0.8 < maps.max()
    assert torch.allclose(context, gathered * maps[:, None], atol=1e-6)


def test_hiding_what_is_bright_in_the_map_changes_the_logits_more() -> None:
    net, x = make_segmenter(), patches(8, 96, 96, seed=1)
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
    net, x = make_segmenter(), patches(2, 64, 64)
    with torch.no_grad():
        full = net(x)
        folded = prepare_net(net, torch.device("cpu"))(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
    assert torch.allclose(folded, full, atol=1e-4)
    assert half.dtype == torch.float32
    assert (half - full).abs().mean() < 0.06 * full.abs().mean()


def test_the_gradient_reaches_every_parameter() -> None:
    net = make_segmenter().train()
    net(patches(2, 64, 48)).square().mean().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert not silent
