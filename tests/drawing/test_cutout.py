"""Cut-outs: soft edges, blurred backgrounds, blending with a color."""

from __future__ import annotations

import numpy as np

from attnimg.drawing import cutout
from attnimg.images.pixels import alpha_blend


def test_alpha_is_soft_near_the_edge_and_agrees_with_the_mask() -> None:
    inside = np.zeros((40, 40), bool)
    inside[:, 20:] = True
    share = np.broadcast_to(np.linspace(0.2, 0.8, 40, dtype=np.float32), (40, 40)).copy()
    share[5, 35] = 0.3  # unsure far from the edge
    share[8, 21] = 0.1  # and beyond it, after a small region was given away
    alpha = cutout.find_alpha(inside, share, 4)
    assert ((alpha >= 128) == inside).all()
    assert set(np.unique(alpha[:, :15])) == {0}
    assert set(np.unique(alpha[:, 25:])) == {255}
    assert (np.diff(alpha[0].astype(int)) >= 0).all()
    assert len(np.unique(alpha[0])) > 4


def test_a_blurred_background_has_no_halo() -> None:
    photo = np.zeros((80, 700, 3), np.uint8)
    photo[:, :, 2] = 200
    photo[20:60, 300:400] = (255, 0, 0)
    alpha = np.zeros((80, 700), np.uint8)
    alpha[20:60, 300:400] = 255
    below = cutout.blur_background(photo, alpha)
    assert np.abs(below[alpha == 0].astype(int) - (0, 0, 200)).max() <= 1
    whole = np.full_like(alpha, 255)
    assert cutout.blur_background(photo, whole).shape == photo.shape


def test_laying_over_a_color() -> None:
    photo = np.full((3, 2, 3), 100, np.uint8)
    alpha = np.array([[0, 255], [128, 51], [0, 0]], np.uint8)
    laid = alpha_blend(photo, alpha, np.array([200, 0, 100], np.uint8))
    assert laid[:, :, 0].tolist() == [[200, 100], [150, 180], [200, 200]]
    assert (laid[:, :, 2] == 100).all()
