"""Model sources: a `ModelSource` turns a model's name into a `Model`.

The form of a name alone decides which source it belongs to. No source is tried and given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attnimg.errors import Unavailable, UsageError
from attnimg.files.state import sha256
from attnimg.models import checkpoints

if TYPE_CHECKING:
    from torch import nn


class Model(Protocol):
    """A model that was found and is not loaded yet.

    name: the model's name in records. origin: where it is, such as a file's path. header: task, classes, preprocessing,
    ... (docs/contract.md, C5). sha256: digest of the weights, in hex.
    """

    @property
    def name(self) -> str:
        """As above."""
        ...

    @property
    def origin(self) -> str:
        """As above."""
        ...

    @property
    def header(self) -> Mapping[str, Any]:
        """As above. Raises Unavailable."""
        ...

    @property
    def sha256(self) -> str:
        """As above."""
        ...

    def build_net(self) -> nn.Module:
        """Return the net with its weights, on the CPU. Raises Unavailable; ValueError: net and header do not match."""
        ...


class ModelSource(Protocol):
    """Finds models of one kind, such as weight files."""

    def has(self, name: str) -> bool:
        """Whether names of this form belong to this source."""
        ...

    def find(self, name: str) -> Model:
        """Return the model called `name`. Raises Unavailable: there is none."""
        ...


@dataclass(frozen=True)
class WeightFile:
    """A model in one of our safetensors files."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def origin(self) -> str:
        """The file's path."""
        return str(self.path)

    @cached_property
    def header(self) -> Mapping[str, Any]:
        """The JSON header. Raises Unavailable: the file is damaged, or not one of ours."""
        return checkpoints.read_header(self.path)

    @property
    def sha256(self) -> str:
        """Digest of the file, in hex."""
        return sha256(self.path)

    def build_net(self) -> nn.Module:
        """See `Model.build_net`."""
        from attnimg.models.build import load_net  # imports torch

        return load_net(self.path, self.header)


class WeightFiles:
    """The shipped models by name, and weight files by path."""

    def has(self, name: str) -> bool:
        """Return True: any name may be a shipped model's or a path."""
        return True

    def find(self, name: str) -> WeightFile:
        """Return the shipped model called `name`, else the file of that path. Raises Unavailable: there is neither."""
        shipped = checkpoints.weights_folder() / f"{name}.safetensors"
        if Path(name).name == name and shipped.is_file():
            return WeightFile(shipped)
        if Path(name).is_file():
            return WeightFile(Path(name))
        names = ", ".join(path.stem for path in checkpoints.available()) or "none"
        raise Unavailable(
            f"There is no model {name!r}. Give a path to a .safetensors file or one of the shipped models: {names}."
        )


SOURCES: list[ModelSource] = [WeightFiles()]
"""All sources, in the order in which they are asked. The last one takes any name."""


def find_model(name: str) -> Model:
    """Return the model called `name`. Raises Unavailable: there is none."""
    return next(source for source in SOURCES if source.has(name)).find(name)


def check_attention(model: Model, *, wanted: bool) -> None:
    """Raise UsageError if an attention map is wanted and the model has no attention."""
    if wanted and not model.header.get("attention"):
        raise UsageError(f"The model {model.name} has no attention map to draw. Leave out --overlay.")
