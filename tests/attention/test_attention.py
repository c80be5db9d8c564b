"""What every attention mechanism keeps: shapes, scales, precision, and silence when nobody records."""

from __future__ import annotations

import re

import pytest
import torch
from helpers.paths import ROOT
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnimg.attention import MECHANISMS, Mechanism, Recorder, build, mechanisms
from attnimg.attention.self_attention import SelfAttention

CHANNELS = 8
every = pytest.mark.parametrize("name", sorted(MECHANISMS))
every_self = pytest.mark.parametrize("name", ["self", "neighborhood", "cosine", "euclidean", "linear"])
OPTIONS: dict[str, dict[str, int]] = {"neighborhood": {"span": 3}}  # less than the maps here


def make(name: str) -> nn.Module:
    """A module whose zero-initialised parts are not zero."""
    torch.manual_seed(5)
    module = build(name, CHANNELS, **OPTIONS.get(name, {}))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def image(n: int = 2, height: int = 6, width: int = 5) -> Tensor:
    return torch.randn(n, CHANNELS, height, width, generator=torch.Generator().manual_seed(7))


def look(module: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(module, Mechanism)
    return module.map(x)


@every
def test_is_a_mechanism_that_builds_by_name(name: str) -> None:
    module = build(name, CHANNELS)
    assert type(module) is MECHANISMS[name]
    assert isinstance(module, Mechanism)


def test_the_table_in_the_docs_has_every_mechanism() -> None:
    table = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(MECHANISMS)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no attention called 'cbma'") as caught:
        build("cbma", CHANNELS)
    assert all(name in str(caught.value) for name in [*MECHANISMS, "none"])


def test_none_changes_nothing_and_is_no_mechanism() -> None:
    module, x = build("none", CHANNELS), image()
    assert module(x) is x
    assert not isinstance(module, Mechanism)


@pytest.mark.parametrize("name", ["self", "cosine", "euclidean"])
def test_heads_that_do_not_divide_the_channels_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="8 channels do not split into 3 heads"):
        build(name, CHANNELS, heads=3)
    assert build(name, CHANNELS, heads=3, dim=2)(image()).shape == image().shape


@pytest.mark.parametrize("name", ["spatial", "cbam"])
def test_an_even_kernel_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="give an odd one, such as 5"):
        build(name, CHANNELS, kernel=4)


@every
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 1, 1), (1, 7, 3), (2, 1, 9), (1, 33, 20)], ids=str)
def test_keeps_the_shape_and_the_scale(name: str, size: tuple[int, int, int]) -> None:
    module, x = make(name), image(*size)
    y, m = module(x), look(module, x)
    assert y.shape == x.shape
    assert m.shape == (size if module.positional else (size[0], CHANNELS))
    assert y.isfinite().all()
    assert (m >= 0).all()
    assert (m <= 1).all()


@every
def test_gradients(name: str) -> None:
    module = make(name).double()
    inputs = (image(2, 3, 2).double().requires_grad_(), *module.parameters())
    names = [n for n, _ in module.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))
        return result

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)


@every_self
def test_weights_of_every_query_sum_to_one(name: str) -> None:
    sums = make(name).weights(image()).sum(-1)  # type: ignore[operator]
    torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("regions", [1, 2, 3])
def test_weights_of_every_region_sum_to_one(regions: int) -> None:
    module = build("region", CHANNELS, regions=regions)
    nn.init.normal_(module.score.weight)  # type: ignore[arg-type, union-attr]
    w = module.weights(image(2, 6, 6))  # type: ignore[operator]
    sums = w.unfold(2, 6 // regions, 6 // regions).unfold(3, 6 // regions, 6 // regions).sum((-1, -2))
    torch.testing.assert_close(sums, torch.ones(2, 1, regions, regions))
    y = module(torch.ones(2, CHANNELS, 6, 6))
    torch.testing.assert_close(y, torch.ones_like(y))


@pytest.mark.parametrize("name", ["self", "neighborhood", "cosine", "euclidean", "linear", "region"])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (9, 2)], ids=str)
def test_uniform_attention_is_one_half_at_any_size(name: str, size: tuple[int, int]) -> None:
    flat = image(2, 1, 1).expand(2, CHANNELS, *size)  # every position holds the same: none can be preferred
    torch.testing.assert_close(look(make(name), flat), torch.full((2, *size), 0.5))


@every_self
def test_a_new_self_attention_adds_only_its_bias(name: str) -> None:
    module = build(name, CHANNELS)
    assert isinstance(module, SelfAttention)
    assert module.project.bias is not None
    torch.testing.assert_close(module(image()), image() + module.project.bias[:, None, None])


@every
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    module, x = make(name).train(), image(3)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))
    torch.testing.assert_close(look(module, x)[1:2], look(module, x[1:2]))


@every
def test_memory_order_does_not_matter(name: str) -> None:
    module, x = make(name), image()
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(last), module(x))
    torch.testing.assert_close(look(module, last), look(module, x))


@every
@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "weights"])
def test_runs_in_bfloat16(name: str, autocast: bool) -> None:
    module, x = make(name), image()
    with torch.no_grad():
        exact, exact_map = module(x), look(module, x)
        if not autocast:
            module, x = module.bfloat16(), x.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast), Recorder(module) as recorder:
            rough = module(x)
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(recorder.maps[""], exact_map, rtol=0.05, atol=0.02)
    assert recorder.maps[""].dtype == torch.float32


@every
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_black_image_is_no_trap(name: str, kind: torch.dtype) -> None:
    module, black = build(name, CHANNELS).to(kind), torch.zeros(1, CHANNELS, 4, 4, dtype=kind, requires_grad=True)
    module(black).sum().backward()
    assert black.grad is not None
    assert black.grad.isfinite().all()
    assert look(module, black).isfinite().all()


@pytest.mark.parametrize("name", ["self", "neighborhood", "cosine", "euclidean"])
def test_forward_runs_through_a_fused_kernel(name: str) -> None:
    module, x = make(name), image().contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises where only the L x L fallback would do
        fused = module(x)
    torch.testing.assert_close(fused, module(x))


def test_linear_attention_takes_a_map_whose_square_would_not_fit() -> None:
    x = torch.zeros(1, CHANNELS, 512, 512)  # L x L would take 256 GiB
    module = build("linear", CHANNELS)
    with torch.no_grad(), Recorder(module) as recorder:
        assert module(x).shape == x.shape
    torch.testing.assert_close(recorder.maps[""], torch.full((1, 512, 512), 0.5))


class Net(nn.Module):
    """Every mechanism after the other, under its registry name."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.ModuleDict({name: make(name) for name in MECHANISMS})

    def forward(self, x: Tensor) -> Tensor:
        for module in self.trunk.values():
            x = module(x)
        return x


def test_recording_changes_no_bit_and_no_gradient() -> None:
    net = Net().train()
    results: list[tuple[Tensor, Tensor | None]] = []
    for record in (False, True):
        x = image().requires_grad_()
        with Recorder(net, None if record else set()) as recorder:
            y = net(x)
        y.square().sum().backward()
        assert len(recorder.maps) == (len(MECHANISMS) if record else 0)
        results.append((y, x.grad))
    (plain, plain_gradient), (recorded, recorded_gradient) = results
    assert torch.equal(plain, recorded)
    assert plain_gradient is not None
    assert recorded_gradient is not None
    assert torch.equal(plain_gradient, recorded_gradient)


def test_recorder_names_what_it_saw_and_keeps_no_graph() -> None:
    net, x = Net(), image()
    names = [f"trunk.{name}" for name in MECHANISMS]
    assert mechanisms(net) == names
    with Recorder(net) as recorder:
        net(x)
    assert list(recorder.maps) == names
    assert not any(m.requires_grad for m in recorder.maps.values())
    first = recorder.maps[names[0]]
    torch.testing.assert_close(first, look(net.trunk[next(iter(MECHANISMS))], x))


def test_recorder_takes_only_what_is_asked_for() -> None:
    with Recorder(net := Net(), {"trunk.self"}) as recorder:
        net(image())
    assert list(recorder.maps) == ["trunk.self"]
    with pytest.raises(ValueError, match=r"no attention called trunk\.sefl; there are trunk\.cbam, .*trunk\.self"):
        Recorder(net, {"trunk.sefl"})


def test_recorder_leaves_no_hook_behind_even_after_an_error() -> None:
    net = Net()
    with pytest.raises(RuntimeError), Recorder(net) as recorder:
        net(torch.zeros(1, CHANNELS + 1, 2, 2))
    recorder.maps.clear()
    net(image())
    assert recorder.maps == {}
    assert not any(module._forward_hooks for module in net.modules())
