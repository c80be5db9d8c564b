"""Class names, shared by data sets, models and records."""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

VOID = 255
"""Mask value of pixels that have no class, or are ignored in evaluation."""


@dataclass(frozen=True)
class ClassName:
    """A class of a classifier.

    id: name of the class in its data set. label: name to display.
    """

    id: str
    label: str


@dataclass(frozen=True)
class SegmentClass:
    """A class of a segmenter.

    id: value of its pixels in masks. label: name to display. color: RGB, 0 to 255.
    """

    id: int
    label: str
    color: Color
