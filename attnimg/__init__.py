"""attnimg: classify, segment and enhance whole folders of images with attention CNNs, and see where each net looked.

for record in attnimg.run("enhance", ["night"], output="bright", strength=0.7):
    print(record.to_json())

classify = attnimg.load("classify")
classify(Image.open("cat.jpg"))[0].label
segment = attnimg.load("segment")
segment(Image.open("street.jpg")) == 3
enhance = attnimg.load("enhance")
Image.fromarray(enhance(Image.open("night.jpg")))
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from attnimg.version import __version__

if TYPE_CHECKING:
    from attnimg.predictors.classify import Classifier
    from attnimg.predictors.enhance import Enhancer
    from attnimg.predictors.segment import Segmenter
    from attnimg.records import Record

__all__ = ["__version__", "load", "run"]


@overload
def load(task: Literal["classify"] = ..., **options: Any) -> Classifier: ...


@overload
def load(task: Literal["segment"], **options: Any) -> Segmenter: ...


@overload
def load(task: Literal["enhance"], **options: Any) -> Enhancer: ...


@overload
def load(task: str, **options: Any) -> Any: ...


def load(task: str = "classify", **options: Any) -> Any:
    """Build the predictor of a task: `predictor(image or list)`.

    Images are PIL's, or RGB arrays H x W x 3, uint8 or uint16. options: model (name or path), device, precision; views
    for classify; resize and tta for segment; tile for enhance. UsageError: there is no such task.
    """
    from attnimg.models.load import load as load_predictor  # imports torch

    return load_predictor(task, **options)


def run(
    task: str, inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (), **options: Any
) -> Iterator[Record]:
    """Run a task on files, folders and patterns, and yield one record per input, in order; see `attnimg.jobs.run`.

    options: those of the command by the same names, with `_` for `-`: output, overlay, report, ...
    """
    from attnimg.jobs.run import run as run_batch  # imports OpenCV and Pillow

    return run_batch(task, inputs, **options)
