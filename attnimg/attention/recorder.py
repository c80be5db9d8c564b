"""Recording of the attention maps of a net by forward hooks, after the recorder of lucidrains' vit-pytorch.

The net's code and output do not change. The hooks compute the maps in addition to the forward pass, from its inputs.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@runtime_checkable
class Mechanism(Protocol):
    """The interface of an attention mechanism, besides forward. positional: whether its map is over positions."""

    positional: bool

    def weights(self, x: Tensor) -> Tensor:
        """Return the weights, in the shape of the mechanism's formula."""
        ...

    def map(self, x: Tensor) -> Tensor:
        """Return N x H x W in [0, 1] on the fixed scale if positional, else N x C."""
        ...


class Recorder:
    """A context manager that records the attention maps of the mechanisms inside `net`.

    only: names of the mechanisms to record (default all); ValueError: the net has none of that name. After each forward
    pass `maps` holds name -> N x H x W (positional) or N x C, in fp32, without gradient.

        with Recorder(net) as recorder:
            logits = net(images)
        recorder.maps["head.attention"]
    """

    def __init__(self, net: nn.Module, only: set[str] | None = None) -> None:
        self.maps: dict[str, Tensor] = {}
        known = mechanisms(net)
        if missing := (only or set()).difference(known):
            raise ValueError(
                f"no attention called {', '.join(sorted(missing))}; there are {', '.join(known) or 'none'}"
            )
        self._modules = {name: net.get_submodule(name) for name in known if only is None or name in only}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name), with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, name: str) -> Any:
        def record(module: Mechanism, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
            with torch.no_grad():
                self.maps[name] = module.map(*args, **kwargs).float()

        return record


def mechanisms(net: nn.Module) -> list[str]:
    """Return the names of the attention mechanisms inside a net, in the order of its modules."""
    return [name for name, module in net.named_modules() if isinstance(module, Mechanism)]
