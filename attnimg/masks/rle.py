"""COCO's run-length encoding of masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def encode_runs(inside: NDArray[np.bool_]) -> str:
    """Encode H x W pixels as the `counts` of COCO's compressed run-length encoding.

    Runs are in column-major order, and the first one is outside. From the fourth on, a run is stored as its difference
    from the second to last. Each number is written in groups of five bits, the lowest first; a sixth bit marks that
    more groups follow (https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, rleToString).
    """
    flat = inside.ravel("F")
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0] * (1 + int(flat[0])), starts, [flat.size]]))
    runs[3:] -= runs[1:-2].copy()
    text = bytearray()
    for run in runs.tolist():
        rest = run
        while True:
            group, rest = rest & 31, rest >> 5
            more = rest != (-1 if group & 16 else 0)
            text.append(group + 32 * more + 48)
            if not more:
                break
    return text.decode("ascii")
