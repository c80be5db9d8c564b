"""Run lengths of a mask, as COCO files hold them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def encode_runs(inside: NDArray[np.bool_]) -> str:
    """Encode H x W pixels as the `counts` of COCO's compressed run lengths.

    Runs go down the columns and begin with one outside. From the fourth on, a run is its difference from the one before
    the last; each is written in groups of five bits, the lowest first, a sixth says that more follow
    (https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c, rleToString).
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
