"""attnimg: classify, segment and enhance whole folders of images with attention CNNs, and see where each net looked.

classify = attnimg.load("classify")
classify(Image.open("cat.jpg"))[0].label
segment = attnimg.load("segment")
segment(Image.open("street.jpg")) == 3
enhance = attnimg.load("enhance")
Image.fromarray(enhance(Image.open("night.jpg")))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from attnimg.tasks.classify import Classifier
    from attnimg.tasks.enhance import Enhancer
    from attnimg.tasks.segment import Segmenter

__version__ = "0.1.0"
__all__ = ["load"]


@overload
def load(task: Literal["classify"] = ..., **options: Any) -> Classifier: ...


@overload
def load(task: Literal["segment"], **options: Any) -> Segmenter: ...


@overload
def load(task: Literal["enhance"], **options: Any) -> Enhancer: ...


def load(task: str = "classify", **options: Any) -> Classifier | Segmenter | Enhancer:
    """Build the predictor of a task: `predictor(image or list)`.

    Images are PIL's, or RGB arrays H x W x 3, uint8 or uint16. options: model (name or path), device,
    precision; views for classify; resize and tta for segment; tile for enhance. Torch is imported here, not with the
    package. ValueError: there is no such task.
    """
    if task == "classify":
        from attnimg.tasks.classify import load_classifier

        return load_classifier(**options)
    if task == "segment":
        from attnimg.tasks.segment import load_segmenter

        return load_segmenter(**options)
    if task == "enhance":
        from attnimg.tasks.enhance import load_enhancer

        return load_enhancer(**options)
    raise ValueError(f"there is no task {task!r}; there are classify, segment and enhance")
