"""Every mechanism against its paper's formula, written out here in float64 with plain sums and loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attnimg.attention import MECHANISMS, Recorder, build

Reference = Callable[[dict[str, Tensor], Tensor], tuple[Tensor, Tensor, Tensor]]
SIZES = [(2, 16, 5, 4), (1, 16, 1, 1), (3, 16, 7, 3)]


def randomised(name: str, options: dict[str, Any]) -> nn.Module:
    """A module in float64 whose zero-initialised parts are not zero."""
    torch.manual_seed(3)
    module = build(name, 16, **options).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def conv1x1(p: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = torch.einsum("oc,nchw->nohw", p[f"{name}.weight"].flatten(1), x)
    return y + p[f"{name}.bias"].reshape(1, -1, 1, 1) if f"{name}.bias" in p else y


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def normalized(e: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    return e.exp() / e.exp().sum(dim, keepdim=True)


def fixed_scale(w: Tensor, positions: float) -> Tensor:
    return w / (w + 1 / positions)


def split(p: dict[str, Tensor], x: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v as N x heads x L x d, after a group norm of one group."""
    mean = x.mean((1, 2, 3), keepdim=True)
    deviation = ((x - mean).square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
    x = (x - mean) / deviation * p["norm.weight"].reshape(1, -1, 1, 1) + p["norm.bias"].reshape(1, -1, 1, 1)
    parts = conv1x1(p, "qkv", x).flatten(2).chunk(3, 1)  # all of q, then all of k, then all of v
    return tuple(torch.stack(part.chunk(heads, 1), 1).transpose(2, 3) for part in parts)  # type: ignore[return-value]


def gather(p: dict[str, Tensor], x: Tensor, matrix: Tensor, v: Tensor) -> Tensor:
    y = torch.einsum("nhij,nhjd->nhid", matrix, v)
    y = torch.cat([y[:, head].transpose(1, 2) for head in range(y.shape[1])], 1)
    return x + conv1x1(p, "project", y.reshape(y.shape[0], -1, *x.shape[2:]))


def by_score(score: Callable[[dict[str, Tensor], Tensor, Tensor, int], Tensor], heads: int) -> Reference:
    def reference(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = split(p, x, heads)
        n, _, length, _ = q.shape
        e = torch.zeros(n, heads, length, length, dtype=x.dtype)
        for head in range(heads):
            for i in range(length):
                for j in range(length):
                    e[:, head, i, j] = score(p, q[:, head, i], k[:, head, j], head)
        w = normalized(e, 3)
        received = w.sum((1, 2)) / (heads * length)
        return gather(p, x, w, v), w, fixed_scale(received, length).reshape(n, *x.shape[2:])

    return reference


def nearest(place: int, length: int, span: int) -> range:
    first = max(0, min(place - span // 2, length - span))
    return range(first, min(first + span, length))


def neighborhood(span: int) -> Reference:
    def reference(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = split(p, x, 1)
        n, (height, width) = len(x), x.shape[2:]
        w = torch.zeros(n, 1, height * width, height * width, dtype=x.dtype)
        uniform = torch.zeros(height * width, dtype=x.dtype)
        for i in range(height * width):
            rows, columns = nearest(i // width, height, span), nearest(i % width, width, span)
            seen = [row * width + column for row in rows for column in columns]
            e = torch.stack([dot(p, q[:, 0, i], k[:, 0, j], 0) for j in seen], 1)
            w[:, 0, i, seen] = normalized(e, 1)
            uniform[seen] += 1 / len(seen) / (height * width)
        received = w.mean((1, 2))
        return gather(p, x, w, v), w, (received / (received + uniform)).reshape(n, height, width)

    return reference


def dot(p: dict[str, Tensor], q: Tensor, k: Tensor, head: int) -> Tensor:
    return (q * k).sum(1) / math.sqrt(q.shape[1])


def cosine(p: dict[str, Tensor], q: Tensor, k: Tensor, head: int) -> Tensor:
    cos = (q * k).sum(1) / ((q * q).sum(1).sqrt() * (k * k).sum(1).sqrt())
    return cos / max(math.exp(-float(p["logit_scale"][head])), 0.01)


def euclidean(p: dict[str, Tensor], q: Tensor, k: Tensor, head: int) -> Tensor:
    return -(q - k).square().sum(1) / math.sqrt(q.shape[1])


def linear(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = split(p, x, 2)
    over_positions = normalized(k, 2).transpose(2, 3)
    matrix = normalized(q, 3) @ over_positions
    n, _, _, length = over_positions.shape
    return (
        gather(p, x, matrix, v),
        over_positions,
        fixed_scale(over_positions.mean((1, 2)), length).reshape(n, *x.shape[2:]),
    )


def se(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s = conv1x1(p, "squeeze", x.mean((2, 3), keepdim=True)).clamp(min=0)
    s = sigmoid(conv1x1(p, "excite", s))
    return x * s, s, s[:, :, 0, 0]


def eca(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    kernel = p["conv.weight"].flatten()
    assert len(kernel) == 3  # log2(16) / 2 + 1 / 2 = 2.5, cut to 2, made odd
    means = x.mean((2, 3))
    s = torch.zeros_like(means)
    for channel in range(16):
        for tap, weight in enumerate(kernel):
            if 0 <= channel + tap - 1 < 16:
                s[:, channel] += weight * means[:, channel + tap - 1]
    s = sigmoid(s)
    return x * s[:, :, None, None], s[:, :, None, None], s


def spatial_gate(p: dict[str, Tensor], x: Tensor) -> Tensor:
    seen = torch.stack([x.mean(1), x.max(1).values], 1)
    kernel, reach = p["conv.weight"][0], p["conv.weight"].shape[2] // 2
    n, _, height, width = x.shape
    s = torch.zeros(n, 1, height, width, dtype=x.dtype) + p["conv.bias"]
    for i in range(height):
        for j in range(width):
            for u in range(max(0, i - reach), min(height, i + reach + 1)):
                for v in range(max(0, j - reach), min(width, j + reach + 1)):
                    s[:, 0, i, j] += (kernel[:, u - i + reach, v - j + reach] * seen[:, :, u, v]).sum(1)
    return sigmoid(s)


def spatial(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s = spatial_gate(p, x)
    return x * s, s, s[:, 0]


def cbam(parallel: bool) -> Reference:
    def reference(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        summaries = [x.mean((2, 3), keepdim=True), x.flatten(2).max(2).values[:, :, None, None]]
        mean, peak = (conv1x1(p, "mlp.2", conv1x1(p, "mlp.0", z).clamp(min=0)) for z in summaries)
        c = sigmoid(mean + peak)
        s = spatial_gate(p, x if parallel else c * x)
        return s * (c * x), s * c, s[:, 0]

    return reference


def coordinate(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    def squeeze(z: Tensor) -> Tensor:
        z = conv1x1(p, "squeeze", z)
        return z * (z + 3).clamp(0, 6) / 6

    rows = sigmoid(conv1x1(p, "rows", squeeze(x.mean(3, keepdim=True))))
    columns = sigmoid(conv1x1(p, "columns", squeeze(x.mean(2, keepdim=True))))
    w = rows * columns
    return x * w, w, w.mean(1)


def gate(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    s = sigmoid(conv1x1(p, "score", (conv1x1(p, "input", x) + conv1x1(p, "gate", x)).clamp(min=0)))
    return x * s, s, s[:, 0]


def region(parts: int, heads: int = 1) -> Reference:
    def reference(p: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        e = conv1x1(p, "score", conv1x1(p, "embed", x).tanh())
        w, y, m = torch.zeros_like(e), torch.zeros_like(x), torch.zeros_like(e[:, 0])
        height, width = x.shape[2:]
        down, across = min(parts, height), min(parts, width)
        for a in range(down):
            for b in range(across):
                rows = slice(a * height // down, (a + 1) * height // down)
                columns = slice(b * width // across, (b + 1) * width // across)
                w[:, :, rows, columns] = normalized(e[:, :, rows, columns], (2, 3))
                length = w[0, 0, rows, columns].numel()
                for channel in range(x.shape[1]):
                    own = w[:, channel // (x.shape[1] // heads), rows, columns]
                    y[:, channel, rows, columns] = length * own * x[:, channel, rows, columns]
                m[:, rows, columns] = fixed_scale(w[:, :, rows, columns].sum(1) / heads, length)
        return y, w, m

    return reference


CASES: list[tuple[str, dict[str, Any], Reference]] = [
    ("self", {}, by_score(dot, 1)),
    ("self", {"heads": 2, "dim": 5}, by_score(dot, 2)),
    ("neighborhood", {"heads": 2}, by_score(dot, 2)),
    ("neighborhood", {"span": 3}, neighborhood(3)),
    ("neighborhood", {"span": 2}, neighborhood(2)),
    ("cosine", {"heads": 2}, by_score(cosine, 2)),
    ("euclidean", {"heads": 2}, by_score(euclidean, 2)),
    ("euclidean", {"dim": 3}, by_score(euclidean, 1)),
    ("linear", {"heads": 2}, linear),
    ("se", {}, se),
    ("eca", {}, eca),
    ("spatial", {}, spatial),
    ("spatial", {"kernel": 3}, spatial),
    ("cbam", {}, cbam(parallel=False)),
    ("cbam", {"parallel": True}, cbam(parallel=True)),
    ("coordinate", {}, coordinate),
    ("gate", {}, gate),
    ("region", {}, region(1)),
    ("region", {"regions": 2}, region(2)),
    ("region", {"heads": 4}, region(1, heads=4)),
    ("region", {"heads": 2, "regions": 2}, region(2, heads=2)),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("name", "options", "reference"), CASES, ids=[f"{n}-{o}" for n, o, _ in CASES])
def test_result_weights_and_recorded_map_are_the_formulas(
    name: str, options: dict[str, Any], reference: Reference, size: tuple[int, ...]
) -> None:
    module = randomised(name, options)
    x = torch.randn(size, dtype=torch.float64)
    with torch.no_grad(), Recorder(module) as recorder:
        y, w = module(x), module.weights(x)  # type: ignore[operator]
        expected_y, expected_w, expected_map = reference(dict(module.named_parameters()), x)
    torch.testing.assert_close(y, expected_y, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(w, expected_w, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(recorder.maps[""], expected_map.float())


def test_every_mechanism_has_a_reference() -> None:
    assert {name for name, _, _ in CASES} == set(MECHANISMS)


def test_the_cosine_temperature_stops_at_a_hundredth() -> None:
    module = randomised("cosine", {})
    x = torch.randn(1, 16, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        module.logit_scale.fill_(9.0)  # type: ignore[operator]
        _, expected, _ = by_score(cosine, 1)(dict(module.named_parameters()), x)
        torch.testing.assert_close(module.weights(x), expected, rtol=1e-9, atol=1e-9)  # type: ignore[operator]


def test_a_coarser_gate_is_resized_to_the_gated_map() -> None:
    module = build("gate", 6, gate_channels=4).double()
    x, g = torch.randn(2, 6, 4, 4, dtype=torch.float64), torch.randn(2, 4, 2, 2, dtype=torch.float64)
    # Twice as fine, half-pixel centers: each side is 1, 3/4 + 1/4, 1/4 + 3/4, 1 of its two neighbors.
    up = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], dtype=torch.float64)
    fine = torch.einsum("iu,ncuv,jv->ncij", up, g, up)
    torch.testing.assert_close(module(x, g), module(x, fine))
    with Recorder(module) as recorder:
        module(x, gate=g)
    torch.testing.assert_close(recorder.maps[""], module.map(x, fine).float())  # type: ignore[operator]
