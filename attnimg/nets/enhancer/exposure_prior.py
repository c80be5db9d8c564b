"""How likely each exposure is the one that was meant.

Of one scene there are photos of many exposures, so that how bright it was meant to be cannot be known: in LOL's
training pairs the mean brightness differs by 0.08 within a scene, and by 0.10 among all (standard deviations). A net
that names one exposure is torn between them. This one trainable the odds of each, by cross-entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.nets.enhancer.exposure import MEDIUM, brighten, solve_gain

LEAST, MOST, STEPS = -3.0, 1.2, 43  # the changes that odds are of: from 1/20 to 3.3 times the medium gain less 1
TARGET_SIGMA = 0.15  # standard deviation of the odds that are learnt, as a near miss is a hit


class ExposurePrior(nn.Module):
    """Says which changes c of the medium gain are likely to lead to the exposure that was meant.

    They are changes as `Gain` makes them, g = 1 + (g_medium - 1) e^c. channels: C of the context.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Linear(channels, STEPS)
        nn.init.zeros_(self.logits.weight)
        with torch.no_grad():  # before it has learnt anything, the medium exposure is the likeliest
            self.logits.bias.copy_(-2 * _steps(self.logits.bias).square())

    def forward(self, context: Tensor) -> Tensor:
        """Return the natural logarithms of the odds, N x K. context: N x C."""
        with torch.autocast(context.device.type, enabled=False):  # rounded logits would round the odds
            odds: Tensor = self.logits(context.float()).log_softmax(1)
        return odds


def find_shift(small: Tensor, exposure: Tensor | float) -> Tensor:
    """Return the change by which photos, N x 3 x S x S, reach an exposure (of each, N x 1 x 1 x 1): N.

    It is 0 for a photo that is bright enough without any gain, which no change changes.
    """
    gains = [solve_gain(small, e).flatten().expm1().clamp(min=1e-6) for e in (exposure, MEDIUM)]
    return (gains[0] / gains[1]).log().clamp(LEAST, MOST)


def cross_entropy(odds: Tensor, change: Tensor) -> Tensor:
    """Return how badly odds, N x K, foretell changes, N: the mean cross-entropy with a bell around each."""
    bell = (-0.5 * ((change[:, None] - _steps(odds)) / TARGET_SIGMA).square()).softmax(1)
    return F.cross_entropy(odds, bell)  # which takes logarithms of odds as they are


def expected_exposure(odds: Tensor, small: Tensor) -> Tensor:
    """Return the exposure that the mean change leads to, N x 1 x 1 x 1.

    odds: N x K; those of several views of a photo, multiplied, lean to what all of them hold likely, for between two
    exposures PSNR is low, and yet have no leaps, which would flicker in a video. small: N x 3 x S x S.
    """
    change = odds.softmax(1) @ _steps(odds)  # (N,)
    gain = 1 + solve_gain(small, MEDIUM).expm1() * change.exp()[:, None, None, None]
    return brighten(small, gain).mean((1, 2, 3), keepdim=True)


def shift_bins(odds: Tensor, by: Tensor) -> Tensor:
    """Return odds, N x K, of changes that are larger by N; beyond the first and the last step they go on as there."""
    place = (torch.arange(STEPS, device=odds.device) - by[:, None] * (STEPS - 1) / (MOST - LEAST)).clamp(0, STEPS - 1)
    below = place.long().clamp(max=STEPS - 2)
    return odds.gather(1, below).lerp(odds.gather(1, below + 1), place - below)


def _steps(like: Tensor) -> Tensor:
    return torch.linspace(LEAST, MOST, STEPS, device=like.device)
