"""attnimg: classify, segment and enhance whole folders of images with attention CNNs, and see where each net looked.

classify = attnimg.load("classify")
classify(Image.open("cat.jpg"))[0].label
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnimg.tasks.classify import Classifier

__version__ = "0.1.0"
__all__ = ["load"]


def load(task: str = "classify", **options: Any) -> Classifier:
    """Build the predictor of a task: `predictor(image or list)` with PIL images or RGB uint8 arrays H x W x 3.

    options: model (name or path), device, precision, views. Torch is imported here, not with the package.
    """
    if task != "classify":
        raise ValueError(f"there is no task {task!r}; there is classify")
    from attnimg.tasks.classify import load_classifier

    return load_classifier(**options)
