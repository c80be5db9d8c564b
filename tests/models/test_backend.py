"""The backend: arrays in, arrays and an attention map out, as the net itself would give them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_nets import CLASSIFIER, make_segmenter
from torch import nn

from attnimg.attention import Recorder
from attnimg.models.backend import TorchBackend
from attnimg.models.preprocessing import Preprocessing
from attnimg.nets.classifier import ClassifierNet

PREPROCESSING = Preprocessing("square", 32, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
NETS = {"classifier": lambda: ClassifierNet(CLASSIFIER).eval(), "segmenter": make_segmenter}


def make_backend(net: nn.Module, attention: str | None = "attention", precision: str = "fp32") -> TorchBackend:
    return TorchBackend(net, {"attention": attention}, PREPROCESSING, device="cpu", precision=precision)


@pytest.mark.parametrize("name", NETS)
def test_values_and_map_are_those_of_the_net(name: str) -> None:
    torch.manual_seed(0)
    net = NETS[name]()
    with torch.no_grad(), Recorder(net, {"attention"}) as recorder:
        expected = net(PREPROCESSING(torch.from_numpy(PIXELS))).numpy()
    backend = make_backend(net)
    values, attention = backend(PIXELS, attention=True)
    assert (values.dtype, values.shape) == (np.float32, expected.shape)
    assert np.allclose(values, expected, atol=1e-4)  # norms are folded into convolutions
    assert attention is not None
    assert attention.dtype == np.float32
    assert np.allclose(attention, recorder.maps["attention"].numpy(), atol=1e-4)
    plain, nothing = backend(PIXELS)
    assert nothing is None
    assert np.array_equal(plain, values)
    assert backend.device == "cpu"


def test_the_net_itself_stays_as_it_was() -> None:
    net = NETS["classifier"]().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    make_backend(net)(PIXELS, attention=True)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_half_precision_gives_floats_close_to_full() -> None:
    net = make_segmenter()
    full, half = (make_backend(net, precision=precision)(PIXELS).values for precision in ("fp32", "bf16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).mean() < 0.1 * np.abs(full).mean()


def test_a_model_without_attention_has_no_map() -> None:
    assert make_backend(NETS["classifier"](), attention=None)(PIXELS, attention=True).map is None


def test_a_device_without_memory_is_out_of_memory() -> None:
    class Greedy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MemoryError):
        make_backend(Greedy(), attention=None)(PIXELS)
