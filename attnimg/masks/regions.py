"""Connected regions of a mask, and the removal of small ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.backends import opencv_memory_errors
from attnimg.masks.mask import Mask


@opencv_memory_errors()
def drop_small(mask: Mask, least: int) -> Mask:
    """Merge regions of fewer than `least` pixels into the larger region with which they share the longest border.

    Regions are 4-connected. If all regions are smaller, the largest ones stay. Raises MemoryError.
    """
    labels, sizes, classes = find_regions(mask)
    count = len(sizes)
    small = sizes < min(least, sizes.max())
    if not small.any():
        return mask
    borders = []
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differ = labels[one] != labels[other]
        a, b = labels[one][differ].astype(np.int64), labels[other][differ].astype(np.int64)
        borders += [a * count + b, b * count + a]
    pairs, lengths = np.unique(np.concatenate(borders), return_counts=True)
    here, there = np.divmod(pairs, count)
    owner = np.arange(count)
    while small.any():  # regions with small neighbors only wait for the next round
        meet = small[here] & ~small[there]
        pairs, index = np.unique(here[meet] * count + owner[there[meet]], return_inverse=True)
        order = np.argsort(np.bincount(index, lengths[meet]), kind="stable")
        regions, takers = np.divmod(pairs[order], count)
        owner[regions] = takers  # the last of several assignments counts: the longest border
        small[regions] = False
    result: Mask = classes[owner][labels]
    return result


def find_regions(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
    """Return the region index of each pixel, H x W, and the regions' sizes in pixels and their classes."""
    labels = np.zeros(mask.shape, np.int32)
    sizes: list[int] = []
    classes: list[int] = []
    for value in range(256):
        inside = mask == value
        if inside.any():
            _, own, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=4)
            np.add(own, len(sizes) - 1, out=labels, where=inside)
            sizes += stats[1:, cv2.CC_STAT_AREA].tolist()
            classes += [value] * (len(stats) - 1)
    return labels, np.array(sizes), np.array(classes, np.uint8)
