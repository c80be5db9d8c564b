"""A prior over target exposures: a distribution over exposure shifts, predicted from the context of the exposure net.

The intended brightness of a scene is ambiguous, as the same scene was photographed at several exposures. In LOL's
training pairs the mean brightness has a standard deviation of 0.08 within a scene, and of 0.10 over all photos. A point
estimate regresses to the mean of these exposures; a distribution, trained by cross-entropy, represents them all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.nets.enhancer.exposure import MEDIUM, brighten, solve_gain

MIN_SHIFT, MAX_SHIFT, BINS = -3.0, 1.2, 43  # g - 1 of 1/20 to 3.3 times that of the medium exposure
TARGET_SIGMA = 0.15  # standard deviation of the Gaussian-smoothed targets: a near miss is nearly correct


class ExposurePrior(nn.Module):
    """Predicts a distribution over exposure shifts c, on a uniform grid of `BINS` values.

    Shifts are those of `GainHead`: g = 1 + (g_medium - 1) e^c. channels: C of the context.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Linear(channels, BINS)
        nn.init.zeros_(self.logits.weight)
        with torch.no_grad():  # initially, the medium exposure is the most likely one
            self.logits.bias.copy_(-2 * _bin_shifts(self.logits.bias).square())

    def forward(self, context: Tensor) -> Tensor:
        """Return log-probabilities, N x K. context: N x C."""
        with torch.autocast(context.device.type, enabled=False):  # rounded logits would round the probabilities
            log_probabilities: Tensor = self.logits(context.float()).log_softmax(1)
        return log_probabilities


def find_shift(small: Tensor, exposure: Tensor | float) -> Tensor:
    """Return the shifts, N, that bring thumbnails, N x 3 x S x S, to a mean exposure (one for all, or N x 1 x 1 x 1).

    The shift is 0 for photos as bright as the medium exposure, whose gain is 1 at any shift.
    """
    gains = [solve_gain(small, e).flatten().expm1().clamp(min=1e-6) for e in (exposure, MEDIUM)]
    return (gains[0] / gains[1]).log().clamp(MIN_SHIFT, MAX_SHIFT)


def cross_entropy(log_probabilities: Tensor, shift: Tensor) -> Tensor:
    """Return the mean cross-entropy of log-probabilities, N x K, against Gaussian-smoothed true shifts, N."""
    targets = (-0.5 * ((shift[:, None] - _bin_shifts(log_probabilities)) / TARGET_SIGMA).square()).softmax(1)
    return F.cross_entropy(log_probabilities, targets)  # its own log-softmax leaves log-probabilities unchanged


def expected_exposure(log_probabilities: Tensor, small: Tensor) -> Tensor:
    """Return the exposure at the distribution's mean shift, N x 1 x 1 x 1.

    log_probabilities: N x K, up to a constant. Sums over several views of a photo multiply their probabilities; the
    mean then leans to a shift that all views find likely, as PSNR is low between two likely exposures. Unlike the
    maximum it never jumps, which would flicker in a video. small: thumbnails, N x 3 x S x S.
    """
    shift = log_probabilities.softmax(1) @ _bin_shifts(log_probabilities)  # (N,)
    gain = 1 + solve_gain(small, MEDIUM).expm1() * shift.exp()[:, None, None, None]
    return brighten(small, gain).mean((1, 2, 3), keepdim=True)


def shift_bins(log_probabilities: Tensor, by: Tensor) -> Tensor:
    """Move distributions, N x K, along the shift axis by N amounts, with linear interpolation and constant ends."""
    positions = torch.arange(BINS, device=log_probabilities.device) - by[:, None] * (BINS - 1) / (MAX_SHIFT - MIN_SHIFT)
    positions = positions.clamp(0, BINS - 1)
    below = positions.long().clamp(max=BINS - 2)
    return log_probabilities.gather(1, below).lerp(log_probabilities.gather(1, below + 1), positions - below)


def _bin_shifts(like: Tensor) -> Tensor:
    return torch.linspace(MIN_SHIFT, MAX_SHIFT, BINS, device=like.device)
